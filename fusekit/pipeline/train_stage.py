"""The training stage of a run: pre-training phases in order, then the main one."""

from __future__ import annotations

import time

import torch

from fusekit.data.training_data import TrainingData, check_divisible, scene_cache
from fusekit.errors import UsageError
from fusekit.interfaces.dataset import FusionDataset
from fusekit.pipeline.display import Display, format_losses
from fusekit.pipeline.run_folder import RunFolder
from fusekit.recipe.assembly import assemble, build_dataset, build_strategy
from fusekit.recipe.model_file import save_model
from fusekit.recipe.recipe import Recipe
from fusekit.recipe.schema import SamplingSection, TrainSection
from fusekit.recipe.system import FusionSystem
from fusekit.training import distributed
from fusekit.training.checkpoint import CheckpointFolder
from fusekit.training.trainer import Trainer


def phases(recipe: Recipe) -> dict[str, TrainSection]:
    """All training phases by name, in order."""
    if "train" in recipe.model.pretrain:
        raise UsageError("a pretrain phase cannot be called 'train': that is the main phase")
    main = {"train": recipe.model.train} if recipe.model.train is not None else {}
    return {**recipe.model.pretrain, **main}


def train_stage(recipe: Recipe, folder: RunFolder, device: torch.device, *, resume: bool, display: Display) -> None:
    """Trains all phases and writes ``model.safetensors``; under ``torchrun`` with the other processes.

    Raises:
        UsageError: There is an unfinished training and `resume` was not asked for, or the processes cannot share a
            batch equally.
        NonFiniteError: Training diverged.
    """
    todo = phases(recipe)
    started = [p for p in todo if CheckpointFolder(folder.path / "checkpoints" / p).position() is not None]
    if started and not resume:
        raise UsageError(
            f"{folder.path} holds an unfinished training (phase {started[-1]!r})",
            hint="--resume continues it; delete the folder, or give another name with -o name=…, to start anew",
        )
    began = time.monotonic()
    with distributed.process_group(device) as device:
        processes = distributed.world_size()
        for section in todo.values():  # now, and not after hours of pre-training
            check_divisible(section.batch, processes)
        system = assemble(recipe).to(device)
        dataset = build_dataset(recipe, "train") if todo else None
        steps = {}
        for phase, section in todo.items():
            assert dataset is not None
            steps[phase] = _train_phase(phase, section, recipe, system, dataset, folder, device, resume, display)
    if not distributed.is_first():
        return
    provenance = recipe.data_config.provenance()
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
        },
    )
    folder.update(
        {
            "steps": steps,
            "training_seconds": round(folder.record().get("training_seconds", 0) + time.monotonic() - began, 1),
            "training_scenes": len(dataset) if dataset is not None else 0,
            "device": str(device),
            "processes": processes,
        }
    )


def _train_phase(
    phase: str,
    section: TrainSection,
    recipe: Recipe,
    system: FusionSystem,
    dataset: FusionDataset,
    folder: RunFolder,
    device: torch.device,
    resume: bool,
    display: Display,
) -> int:
    cache = scene_cache()
    processes = distributed.world_size()
    with display.progress(f"{phase}: reading") as advance:

        def cut(sampling: SamplingSection) -> TrainingData:
            return TrainingData(
                dataset,
                sampling,
                section.batch,
                seed=recipe.model.seed,
                colour=system.backbone.colour,
                on_progress=lambda done, total: advance(done, total, "scenes"),
                cache=cache,
                share=(distributed.rank(), processes),
            )

        data = cut(section.sampling)
        streams = {name: cut(sampling) for name, sampling in section.streams.items()}
    with display.progress(phase) as advance:
        trainer = Trainer(
            system,
            build_strategy(recipe, section, system),
            data,
            section,
            streams=streams,
            folder=folder.path,
            phase=phase,
            seed=recipe.model.seed,
            device=device,
            progress=lambda _, done, total, losses: advance(done, total, format_losses(losses)),
        )
        shared = f", each shared by {processes} processes" if processes > 1 else ""
        display.say(
            f"{phase}: {trainer.total_steps} steps of {section.batch} samples{shared}, {len(data)} samples in a pass"
        )
        return trainer.fit(resume=resume)
