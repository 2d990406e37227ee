"""Runs a recipe: train, fuse, evaluate, report; finished stages are skipped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from fusekit.devices import choose_device
from fusekit.errors import UsageError
from fusekit.pipeline.display import Display
from fusekit.pipeline.evaluate_stage import evaluate_stage
from fusekit.pipeline.fuse_stage import fuse_stage
from fusekit.pipeline.memory import release
from fusekit.pipeline.observers import Observers
from fusekit.pipeline.report_stage import report_stage
from fusekit.pipeline.run_folder import STAGES, RunFolder, Stage
from fusekit.pipeline.train_stage import train_stage
from fusekit.recipe.recipe import Recipe
from fusekit.training.distributed import is_first
from fusekit.training.events import Notify

BANNER_LINE = "=" * 78


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: The run folder and its files.
        recipe: The recipe that was run.
    """

    folder: RunFolder
    recipe: Recipe


def run(
    recipe: Recipe | str | Path,
    *,
    runs: str | Path = "runs",
    overrides: Sequence[str] = (),
    device: str = "auto",
    resume: bool = False,
    stage: Stage | None = None,
    display: Display | None = None,
) -> Run:
    """Runs a recipe and writes model, fused images, measurements and ``report.html`` to ``runs/NAME/``.

    Stages that were finished with the same recipe are skipped.

    Under ``torchrun`` all processes train together. The first process runs the other stages alone; in the other
    processes this function returns after training.

    Args:
        recipe: A recipe, a recipe file, or the name of a shipped recipe.
        runs: Folder of all runs.
        overrides: Overrides as after ``-o``, if `recipe` is a file or name.
        device: ``auto``, ``cpu``, ``cuda``, …
        resume: Resume an interrupted training from its last checkpoint.
        stage: Run only this stage; earlier ones must be finished.
        display: Output for messages and progress; quiet if None.

    Raises:
        RecipeProblems: The recipe is not valid.
        DataError: Data is missing or unreadable.
        PluginError: A component is missing or broken, or an observer lacks a package that it needs.
        RunError: A stage failed; results written until then are kept.
    """
    display = display or Display(quiet=True)
    chosen = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe, overrides)
    folder = RunFolder(Path(runs) / chosen.model.name)
    where = choose_device(device)
    stages = STAGES if stage is None else (stage,)
    if not is_first():
        _train_as_worker(stages, chosen, folder, where, resume)
        return Run(folder, chosen)
    if chosen.synthetic_fallback is not None:
        display.warn(BANNER_LINE)
        display.warn(f"DATA MISSING: {chosen.synthetic_fallback}")
        display.warn("Running on the recipe's `when_missing` settings instead: SYNTHETIC SCENES and a short")
        display.warn("schedule. Numbers of this run say nothing about the real dataset.")
        display.warn(BANNER_LINE)
    observers = Observers.of(chosen, where, display.warn)
    folder.begin(chosen)
    display.info(f"{chosen.model.name} → {folder.path} on {_name(where)}")
    began = time.monotonic()
    with observers.watching(chosen, folder, resume=resume):
        for current in stages:
            _run_stage(current, chosen, folder, where, resume, display, observers.notify, forced=stage is not None)
        report_stage(chosen, folder, where, display)
    display.info(f"done in {time.monotonic() - began:.0f} s: {folder.report}")
    return Run(folder, chosen)


def _run_stage(
    stage: Stage,
    recipe: Recipe,
    folder: RunFolder,
    device: torch.device,
    resume: bool,
    display: Display,
    notify: Notify,
    *,
    forced: bool,
) -> None:
    if stage == "train":
        if folder.is_done("train", recipe):
            display.info("train: already finished, skipped")
            return
        train_stage(recipe, folder, device, resume=resume, display=display, notify=notify)
    else:
        if not folder.is_done("train", recipe):
            raise UsageError(f"stage {stage} needs a trained model", hint="run without --stage, or --stage train first")
        if stage == "evaluate" and not folder.is_done("fuse", recipe):
            raise UsageError("stage evaluate needs fused images", hint="run --stage fuse first")
        if folder.is_done(stage, recipe) and not forced:
            display.info(f"{stage}: already finished, skipped")
            return
        work = fuse_stage if stage == "fuse" else evaluate_stage
        work(recipe, folder, device, display)
    folder.finish(stage, recipe)
    release()  # the next stage allocates other sizes and cannot reuse this stage's memory


def _train_as_worker(
    stages: Sequence[Stage], recipe: Recipe, folder: RunFolder, device: torch.device, resume: bool
) -> None:
    """Trains together with the first process, without output."""
    folder.check(recipe)
    if "train" in stages and not folder.is_done("train", recipe):
        silent = Display(Console(quiet=True), quiet=True)
        train_stage(recipe, folder, device, resume=resume, display=silent)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({torch.get_num_threads()} threads)"
