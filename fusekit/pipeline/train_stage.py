"""The training stage of a run: pre-training phases in order, then the main one."""

from __future__ import annotations

import time
from typing import Any

import torch

from fusekit.data.training_data import TrainingData, check_divisible, scene_cache
from fusekit.errors import UsageError
from fusekit.interfaces.config import ComponentRef
from fusekit.model.assembly import Builder, assemble, build_strategy
from fusekit.model.model_file import save_model
from fusekit.model.system import FusionSystem
from fusekit.pipeline.display import Display, format_losses
from fusekit.pipeline.run_folder import RunFolder
from fusekit.pipeline.validators import TrainingScenes, make_validator, split_scenes
from fusekit.recipe.model_card import read_card
from fusekit.recipe.part_files import part_origins, parts_from_files
from fusekit.recipe.recipe import Recipe
from fusekit.recipe.schema import SamplingSection, TrainSection
from fusekit.training import distributed
from fusekit.training.checkpoint import CheckpointFolder
from fusekit.training.events import Notify, ignore_event
from fusekit.training.trainer import Trainer
from fusekit.weights.release import plain, scene_list, without_release
from fusekit.weights.run_facts import logged_seconds
from fusekit.words import some


def phases(recipe: Recipe) -> dict[str, TrainSection]:
    """All training phases by name, in order."""
    if "train" in recipe.model.pretrain:
        raise UsageError("a pretrain phase cannot be called 'train': that is the main phase")
    main = {"train": recipe.model.train} if recipe.model.train is not None else {}
    return {**recipe.model.pretrain, **main}


def train_stage(
    recipe: Recipe,
    folder: RunFolder,
    device: torch.device,
    *,
    resume: bool,
    display: Display,
    notify: Notify = ignore_event,
) -> None:
    """Trains all phases and writes ``model.safetensors``; under ``torchrun``, together with the other processes.

    Raises:
        UsageError: There is an unfinished training and `resume` is false, or a batch cannot be divided equally among
            the processes.
        NonFiniteError: Training diverged.
    """
    todo = phases(recipe)
    started = [p for p in todo if CheckpointFolder(folder.path / "checkpoints" / p).position() is not None]
    if started and not resume:
        raise UsageError(
            f"{folder.path} contains an unfinished training (phase {started[-1]!r})",
            hint="--resume continues it; to start again, delete the folder or give another name with -o name=…",
        )
    began = time.monotonic()
    with distributed.process_group(device) as device:
        processes = distributed.world_size()
        for section in todo.values():  # checked before training starts, not after hours of pre-training
            check_divisible(section.batch, processes)
        system = assemble(recipe).to(device)
        scenes = split_scenes(recipe, todo) if todo else None
        if scenes is not None and scenes.held_out:
            display.info(f"held out for validation: {some(scenes.held_out)}")
        steps: dict[str, int] = {}
        validation: dict[str, dict[str, Any]] = {}
        for phase, section in todo.items():
            assert scenes is not None
            trainer = _train_phase(phase, section, recipe, system, scenes, folder, device, resume, display, notify)
            steps[phase] = trainer.steps_done
            if trainer.validation is not None:
                validation[phase] = _outcome(trainer)
    if not distributed.is_first():
        return
    provenance = recipe.data_config.provenance()
    files, origins = parts_from_files(recipe.model.model), part_origins(recipe.model.model)
    parts = {
        name: {"from": origins[name], **without_release(read_card(path).provenance)} for name, path in files.items()
    }
    # After an interruption, the steps before it are in the log only.
    seconds = folder.record().get("training_seconds", 0) + time.monotonic() - began
    seconds = round(max(seconds, logged_seconds(folder.log)), 1)
    trained = scene_list(scenes.trained.ids) if scenes is not None else None
    save_model(
        folder.model,
        system,
        {
            "recipe": recipe.model.name,
            "seed": recipe.model.seed,
            "steps": steps,
            "data": provenance.name,
            "synthetic": provenance.synthetic,
            "labels": provenance.labels,
            "training": {"seconds": seconds, "device": str(device), "processes": processes},
            **({"scenes": plain(trained)} if trained is not None else {}),
            **({"validation": validation} if validation else {}),
            **({"parts": parts} if parts else {}),
        },
    )
    folder.update(
        {
            "steps": steps,
            "training_seconds": seconds,
            "training_scenes": len(scenes.trained) if scenes is not None else 0,
            "held_out": list(scenes.held_out) if scenes is not None else [],
            "validation": validation,
            "device": str(device),
            "processes": processes,
        }
    )


def _train_phase(
    phase: str,
    section: TrainSection,
    recipe: Recipe,
    system: FusionSystem,
    scenes: TrainingScenes,
    folder: RunFolder,
    device: torch.device,
    resume: bool,
    display: Display,
    notify: Notify,
) -> Trainer:
    cache = scene_cache()
    processes = distributed.world_size()
    builder = Builder(system.roles, system.classes, recipe.registry)
    with display.progress(f"{phase}: reading") as advance:

        def make_data(sampling: SamplingSection) -> TrainingData:
            return TrainingData(
                scenes.trained,
                sampling,
                section.batch,
                seed=recipe.model.seed,
                colour=system.backbone.colour,
                on_progress=lambda done, total: advance(done, total, "scenes"),
                cache=cache,
                share=(distributed.rank(), processes),
                transforms=[
                    builder.build("transform", ComponentRef(use=chosen.use, params=chosen.params))
                    for chosen in sampling.transforms
                ],
            )

        data = make_data(section.sampling)
        streams = {name: make_data(sampling) for name, sampling in section.streams.items()}
    strategy = build_strategy(recipe, section, system)
    validator = None
    if section.validation is not None:
        validator = make_validator(recipe, section, scenes.validated[phase], system, strategy, device)
    with display.progress(phase) as advance:
        trainer = Trainer(
            system,
            strategy,
            data,
            section,
            streams=streams,
            folder=folder.path,
            phase=phase,
            seed=recipe.model.seed,
            device=device,
            progress=lambda _, done, total, losses: advance(done, total, format_losses(losses)),
            validator=validator,
            notify=notify,
        )
        shared = f", each shared by {processes} processes" if processes > 1 else ""
        display.info(
            f"{phase}: {trainer.total_steps} steps of {section.batch} samples{shared}, {len(data)} samples in a pass"
        )
        trainer.fit(resume=resume)
    _report_validation(trainer, display)
    return trainer


def _outcome(trainer: Trainer) -> dict[str, Any]:
    """Result of a phase's validation, plain data for ``run.json`` and the model file."""
    validation = trainer.validation
    assert validation is not None
    settings, state = validation.settings, validation.state
    return {
        "measure": validation.validator.name,
        "scenes": len(validation.validator),
        "best_step": state.step,
        "best": state.value,
        "weights": "best" if settings.weights == "best" and state.step is not None else "last",
        "ended_early": state.stopped and trainer.steps_done < trainer.total_steps,
    }


def _report_validation(trainer: Trainer, display: Display) -> None:
    if trainer.validation is None:
        return
    outcome, steps = _outcome(trainer), trainer.steps_done
    if outcome["ended_early"]:
        display.info(f"{trainer.phase}: stopped early after {steps} of {trainer.total_steps} steps: no improvement")
    if outcome["best_step"] is None:
        if steps:
            display.warn(
                f"{trainer.phase}: {outcome['measure']} was never finite on the {outcome['scenes']} validation scenes, "
                "so the last weights are used"
            )
        return
    used = (
        "these weights are used"
        if outcome["weights"] == "best"
        else "the last weights are used, as the recipe specifies"
    )
    display.info(
        f"{trainer.phase}: best {outcome['measure']} {outcome['best']:.4g} on {outcome['scenes']} validation scenes "
        f"after step {outcome['best_step']} of {steps}; {used}"
    )
