"""Runs a recipe: train, fuse, evaluate, report; skips what is done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from fusekit.devices import choose_device
from fusekit.errors import UsageError
from fusekit.memory import release
from fusekit.pipeline.display import Display
from fusekit.pipeline.evaluate_stage import evaluate_stage
from fusekit.pipeline.fuse_stage import fuse_stage
from fusekit.pipeline.observers import Observers
from fusekit.pipeline.report_stage import report_stage
from fusekit.pipeline.run_folder import STAGES, RunFolder, Stage
from fusekit.pipeline.train_stage import train_stage
from fusekit.recipe.recipe import Recipe
from fusekit.training.distributed import is_first
from fusekit.training.events import Tell

LOUD = "=" * 78


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: Its files.
        recipe: What was run.
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
    """Runs a recipe and leaves ``runs/NAME/`` with model, fused images, measurements and ``report.html``.

    Stages that were finished with the same recipe are skipped.

    Under ``torchrun`` all processes train together. The first does all the rest, alone; in the others this returns
    once training is done.

    Args:
        recipe: A recipe, its file, or the name of a shipped one.
        runs: Folder of all runs.
        overrides: Changes as after ``-o``, where `recipe` is a file or name.
        device: ``auto``, ``cpu``, ``cuda``, …
        resume: Continue an interrupted training from its last checkpoint.
        stage: Do this stage only; the ones before it must be done.
        display: Where progress is shown; quiet when None.

    Raises:
        RecipeProblems: The recipe is wrong.
        DataError: Its data is missing or unreadable.
        PluginError: A component of it is missing or broken, or an observer lacks a package that it needs.
        RunError: Something failed on the way; what was already made is kept.
    """
    display = display or Display(quiet=True)
    chosen = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe, overrides)
    folder = RunFolder(Path(runs) / chosen.model.name)
    where = choose_device(device)
    stages = STAGES if stage is None else (stage,)
    if not is_first():
        _train_along(stages, chosen, folder, where, resume)
        return Run(folder, chosen)
    if chosen.synthetic_fallback is not None:
        display.warn(LOUD)
        display.warn(f"DATA MISSING: {chosen.synthetic_fallback}")
        display.warn("Running on the recipe's `when_missing` settings instead: SYNTHETIC SCENES and a short")
        display.warn("schedule. Numbers of this run say nothing about the real dataset.")
        display.warn(LOUD)
    observers = Observers.of(chosen, where, display.warn)
    folder.begin(chosen)
    display.say(f"{chosen.model.name} → {folder.path} on {_name(where)}")
    began = time.monotonic()
    with observers.watching(chosen, folder, resume=resume):
        for current in stages:
            _do(current, chosen, folder, where, resume, display, observers.tell, forced=stage is not None)
        report_stage(chosen, folder, where, display)
    display.say(f"done in {time.monotonic() - began:.0f} s: {folder.report}")
    return Run(folder, chosen)


def _do(
    stage: Stage,
    recipe: Recipe,
    folder: RunFolder,
    device: torch.device,
    resume: bool,
    display: Display,
    tell: Tell,
    *,
    forced: bool,
) -> None:
    if stage == "train":
        if folder.is_done("train", recipe):
            display.say("train: done before, skipped")
            return
        train_stage(recipe, folder, device, resume=resume, display=display, tell=tell)
    else:
        if not folder.is_done("train", recipe):
            raise UsageError(f"stage {stage} needs a trained model", hint="run without --stage, or --stage train first")
        if stage == "evaluate" and not folder.is_done("fuse", recipe):
            raise UsageError("stage evaluate needs fused images", hint="run --stage fuse first")
        if folder.is_done(stage, recipe) and not forced:
            display.say(f"{stage}: done before, skipped")
            return
        work = fuse_stage if stage == "fuse" else evaluate_stage
        work(recipe, folder, device, display)
    folder.finish(stage, recipe)
    release()  # what this stage held is of no use to the next, which allocates other sizes


def _train_along(
    stages: Sequence[Stage], recipe: Recipe, folder: RunFolder, device: torch.device, resume: bool
) -> None:
    """What a process other than the first does: it trains with the others, in silence."""
    folder.check(recipe)
    if "train" in stages and not folder.is_done("train", recipe):
        silence = Display(Console(quiet=True), quiet=True)
        train_stage(recipe, folder, device, resume=resume, display=silence)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({torch.get_num_threads()} threads)"
