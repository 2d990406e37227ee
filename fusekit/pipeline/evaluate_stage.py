"""The evaluation stage of a run: the model beside trivial baselines, in every metric."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fusekit.data.image_io import read_image
from fusekit.errors import DataError
from fusekit.evaluation.benchmark import Benchmark
from fusekit.files import write_text
from fusekit.fusing.fuse import fuse_scene
from fusekit.interfaces.config import ComponentRef
from fusekit.interfaces.dataset import Sample
from fusekit.interfaces.metric import Metric
from fusekit.interfaces.task import SegmentationNetwork
from fusekit.pipeline.display import Display
from fusekit.pipeline.fuse_stage import chosen_scenes
from fusekit.pipeline.run_folder import RunFolder
from fusekit.recipe.assembly import Builder
from fusekit.recipe.model_file import load_system
from fusekit.recipe.recipe import Recipe
from fusekit.recipe.system import FusionSystem

MEASURED = "Scored is the fused luminance, rounded once to 8 bits, before chroma is put back; sources are BT.601 grey."


def evaluate_stage(recipe: Recipe, folder: RunFolder, device: torch.device, display: Display) -> None:
    """Measures ``measured/*.png`` and the baselines; writes ``evaluation.json`` and ``evaluation.csv``.

    Raises:
        DataError: A fused image is gone or a scene cannot be read.
    """
    system, _ = load_system(folder.model, device=device, components=recipe.registry)
    settings = recipe.model.evaluate
    builder = Builder(system.roles, system.classes, recipe.registry)
    metrics: dict[str, Metric] = {name: builder.build("metric", ComponentRef(use=name)) for name in settings.metrics}
    task = system.task if settings.task and isinstance(system.task, SegmentationNetwork) else None
    rivals = _baselines(settings.baselines, system, builder)
    benchmark = Benchmark(metrics, task, device)
    dataset, scenes = chosen_scenes(recipe)
    with display.progress("evaluate") as advance:
        for index in scenes:
            sample = dataset[index]
            results = _results(recipe, folder, sample, rivals)
            benchmark.add_scene(sample.id, sample.images, sample.label, results)
            advance(index + 1, len(scenes), sample.id)
    plain = {**benchmark.to_plain(), "note": MEASURED, "subset": _subset(recipe, len(scenes))}
    write_text(folder.evaluation, json.dumps(plain, indent=1) + "\n")
    write_text(folder.table, per_image_table(plain))


def _results(
    recipe: Recipe, folder: RunFolder, sample: Sample, rivals: dict[str, FusionSystem]
) -> Iterator[tuple[str, bool, Tensor]]:
    path = folder.scene_file(folder.measured, sample.id)
    if not path.is_file():
        raise DataError(f"{path} is gone", hint="--stage fuse makes it again")
    yield recipe.model.name, True, read_image(path)
    for name, rival in rivals.items():
        yield name, False, fuse_scene(rival, sample.images).measured


def _baselines(refs: list[ComponentRef], system: FusionSystem, builder: Builder) -> dict[str, FusionSystem]:
    """Baselines by the name that tables print; a copy without a source stands for the copy of each."""
    found = {}
    for ref in refs:
        if ref.use == "baselines.copy" and "source" not in ref.params:
            for role in system.roles:
                one = ComponentRef(use=ref.use, params={**ref.params, "source": role})
                found[f"copy {role}"] = _rival(one, system, builder)
        else:
            name = ref.use.removeprefix("baselines.")
            shown = name if not ref.params else f"{name} {json.dumps(ref.params, sort_keys=True)}"
            found[shown] = _rival(ref, system, builder)
    return found


def _rival(ref: ComponentRef, system: FusionSystem, builder: Builder) -> FusionSystem:
    return FusionSystem(builder.build("backbone", ref), roles=system.roles, classes=system.classes).eval()


def _subset(recipe: Recipe, count: int) -> str:
    provenance = recipe.data_config.provenance()
    return f"{provenance.name}, split {recipe.model.fuse.split}, {count} scenes"


def per_image_table(plain: dict[str, Any]) -> str:
    """Per-image values as CSV: a row per scene and method, a column per metric with its dialect."""
    keys = list(plain["metrics"])
    heads = [f"{m['name']} ({m['dialect']})" for m in plain["metrics"].values()]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["scene", "method", *heads])
    for index, scene in enumerate(plain["scenes"]):
        for method in plain["methods"]:
            values = [method["per_image"][key][index] for key in keys]
            writer.writerow([scene, method["name"], *("" if v is None else f"{v:.6g}" for v in values)])
    return text.getvalue()
