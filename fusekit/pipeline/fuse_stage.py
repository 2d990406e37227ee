"""The fusion stage of a run: fuses every scene of the split with the engine that `fusekit fuse` uses."""

from __future__ import annotations

import shutil

import torch

from fusekit.data.image_io import write_image
from fusekit.data.image_writing import write_raster
from fusekit.data.packing import as_raster
from fusekit.evaluation.grey import grey8
from fusekit.fusing.engine import Engine
from fusekit.fusing.scenes import RasterScene, storable
from fusekit.interfaces.dataset import FusionDataset
from fusekit.model.assembly import build_dataset
from fusekit.model.model_file import load_system
from fusekit.pipeline.display import Display
from fusekit.pipeline.run_folder import RunFolder
from fusekit.recipe.recipe import Recipe


def chosen_scenes(recipe: Recipe) -> tuple[FusionDataset, range]:
    """The dataset that is fused and evaluated, and the indices of the scenes that are used."""
    dataset = build_dataset(recipe, recipe.model.fuse.split)
    limit = recipe.model.fuse.limit
    return dataset, range(len(dataset) if limit is None else min(limit, len(dataset)))


def fuse_stage(recipe: Recipe, folder: RunFolder, device: torch.device, display: Display) -> None:
    """Writes ``fused/ID.png`` (with the options of the recipe's ``fuse`` section) and ``measured/ID.png`` per scene.

    The latter is the fused luminance as 8-bit grey, which metrics score.

    Raises:
        DataError: A scene cannot be read.
        UsageError: The model or the size of an image does not allow an option.
        RunError: A file cannot be written.
    """
    system, _ = load_system(folder.model, device=device, components=recipe.registry)
    dataset, scenes = chosen_scenes(recipe)
    for old in (folder.fused, folder.measured):  # made with another model or other settings
        shutil.rmtree(old, ignore_errors=True)
    constant: list[str] = []
    with display.progress("fuse") as advance:
        for index in scenes:
            sample = dataset[index]
            rasters = [as_raster(image) for image in sample.images]
            out = folder.scene_file(folder.fused, sample.id)
            options = storable(recipe.model.fuse, rasters, out.suffix)
            fused = Engine(system, options, device=device).fuse(RasterScene(rasters, options.bit_depth), measure=True)
            write_raster(out, fused.image)
            assert fused.measured is not None
            # The only rounding of the measured luminance, with the same rule as for baselines.
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
