"""The fusing stage of a run: every scene of the split, chroma back in place."""

from __future__ import annotations

import shutil

import torch

from fusekit.data.image_io import write_image
from fusekit.evaluation.metrics import grey8
from fusekit.fusing.fuse import fuse_scene
from fusekit.interfaces.dataset import FusionDataset
from fusekit.pipeline.display import Display
from fusekit.pipeline.run_folder import RunFolder
from fusekit.recipe.assembly import build_dataset
from fusekit.recipe.model_file import load_system
from fusekit.recipe.recipe import Recipe


def chosen_scenes(recipe: Recipe) -> tuple[FusionDataset, range]:
    """The dataset that is fused and measured, and which of its scenes."""
    dataset = build_dataset(recipe, recipe.model.fuse.split)
    limit = recipe.model.fuse.limit
    return dataset, range(len(dataset) if limit is None else min(limit, len(dataset)))


def fuse_stage(recipe: Recipe, folder: RunFolder, device: torch.device, display: Display) -> None:
    """Writes ``fused/ID.png`` (in colour) and ``measured/ID.png`` (8-bit grey, what metrics score) for every scene.

    Raises:
        DataError: A scene cannot be read.
        RunError: A file cannot be written.
    """
    system, _ = load_system(folder.model, device=device, components=recipe.registry)
    dataset, scenes = chosen_scenes(recipe)
    for old in (folder.fused, folder.measured):  # of another model, or of other settings
        shutil.rmtree(old, ignore_errors=True)
    constant: list[str] = []
    with display.progress("fuse") as advance:
        for index in scenes:
            sample = dataset[index]
            fused = fuse_scene(system, sample.images, output_range=recipe.model.fuse.range, device=device)
            write_image(folder.scene_file(folder.fused, sample.id), fused.image)
            # Rounded here and nowhere else, by the rule that baselines go through too.
            write_image(folder.scene_file(folder.measured, sample.id), grey8(fused.measured)[None] / 255.0)
            if bool(fused.measured.max() - fused.measured.min() < 1 / 255):
                constant.append(sample.id)
            advance(index + 1, len(scenes), sample.id)
    if constant:
        display.warn(
            f"{len(constant)} of {len(scenes)} fused images are constant ({', '.join(constant[:3])}): training has "
            "saturated the network. Try a lower train.optimiser.lr."
        )
    folder.update({"fused_scenes": len(scenes)})
