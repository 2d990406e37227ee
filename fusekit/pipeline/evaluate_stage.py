"""The evaluation stage of a run: scores the model and trivial baselines with every metric."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from fusekit.data.image_io import read_image
from fusekit.errors import DataError
from fusekit.evaluation.benchmark import Benchmark, Method
from fusekit.evaluation.detection import FrozenDetection
from fusekit.evaluation.grey import grey8
from fusekit.files import write_text
from fusekit.fusing.engine import Engine
from fusekit.fusing.scenes import TensorScene
from fusekit.interfaces.config import ComponentRef
from fusekit.interfaces.dataset import FusionDataset, Sample
from fusekit.interfaces.metric import Metric, ReferenceMetric
from fusekit.interfaces.task import DetectionNetwork, SegmentationNetwork
from fusekit.model.assembly import Builder
from fusekit.model.model_file import load_system
from fusekit.model.system import FusionSystem
from fusekit.pipeline.display import Display
from fusekit.pipeline.fuse_stage import chosen_scenes
from fusekit.pipeline.run_folder import RunFolder
from fusekit.recipe.fuse_options import FuseOptions
from fusekit.recipe.recipe import Recipe

MEASURED = (
    "Metrics score the fused luminance, rounded once to 8 bits, before chroma is restored; sources are BT.601 grey."
)
IDEAL = (
    "The known ideal, with which some columns compare, is the fused image that the program which rendered the scenes "
    "defines as correct, also rounded to 8-bit grey; another program might define another one."
)


def evaluate_stage(recipe: Recipe, folder: RunFolder, device: torch.device, display: Display) -> None:
    """Measures ``measured/*.png`` and the baselines; writes ``evaluation.json`` and ``evaluation.csv``.

    Raises:
        DataError: A fused image is missing or a scene cannot be read.
    """
    system, _ = load_system(folder.model, device=device, components=recipe.registry)
    settings = recipe.model.evaluate
    builder = Builder(system.roles, system.classes, recipe.registry)
    dataset, scenes = chosen_scenes(recipe)
    metrics: dict[str, Metric] = {
        name: builder.build("metric", ComponentRef(use=name)) for name in metric_names(recipe, dataset, scenes)
    }
    task = system.task if settings.task and isinstance(system.task, SegmentationNetwork) else None
    baselines = baseline_systems(settings.baselines or [], builder)
    names = method_names(recipe.model.name, [name for name, _ in baselines])
    methods = [Method(name, is_model=position == 0) for position, name in enumerate(names)]
    detection: FrozenDetection | None = None
    if settings.task and isinstance(system.task, DetectionNetwork):
        detection = FrozenDetection(system.task, [(method.name, method.is_model) for method in methods], device)
    benchmark = Benchmark(methods, metrics, task, device)
    # Tiled like the model, but with the default range: the output of a rule is in range anyway.
    engines = [Engine(baseline, FuseOptions(tile=recipe.model.fuse.tile)) for _, baseline in baselines]
    with display.progress("evaluate") as advance:
        for index in scenes:
            sample = dataset[index]
            results = list(_results(folder, sample, engines))
            if detection is not None and sample.boxes is not None:
                detection.add_scene(map(grey8, results), sample.boxes)
            benchmark.add_scene(sample.id, sample.images, sample.label, results, ideal=sample.ideal)
            advance(index + 1, len(scenes), sample.id)
    note = f"{MEASURED} {IDEAL}" if any(isinstance(m, ReferenceMetric) for m in metrics.values()) else MEASURED
    plain = {**benchmark.to_plain(), "note": note, "subset": _subset(recipe, len(scenes))}
    if detection is not None:
        plain["task"] = detection.to_plain()
    write_text(folder.evaluation, json.dumps(plain, indent=1) + "\n")
    write_text(folder.table, per_image_table(plain))


def metric_names(recipe: Recipe, dataset: FusionDataset, scenes: Sequence[int]) -> list[str]:
    """Metric components of the table: those of the recipe; its default list is extended by metrics against the ideal.

    A list that the recipe sets itself is used unchanged. The default list does not depend on the data, so it is
    extended if the first scene has an ideal. It is recognised by its content, because a resolved recipe writes it out.

    Args:
        recipe: Recipe with ``evaluate.metrics``.
        dataset: Dataset on which the metrics are computed.
        scenes: Indices of the scenes that are used.
    """
    listed = recipe.model.evaluate.metrics or []
    default = [spec.name for spec in recipe.registry.for_tables("metric")]
    if listed != default or not scenes or dataset[scenes[0]].ideal is None:
        return listed
    return listed + [spec.name for spec in recipe.registry.for_tables("metric", needs_ideal=True)]


def _results(folder: RunFolder, sample: Sample, baselines: Sequence[Engine]) -> Iterator[Tensor]:
    """The model's fused luminance of a scene, read from its file, then that of each baseline."""
    path = folder.scene_file(folder.measured, sample.id)
    if not path.is_file():
        raise DataError(f"{path} is missing", hint="--stage fuse creates it again")
    yield read_image(path)
    for baseline in baselines:
        measured = baseline.fuse(TensorScene(sample.images), measure=True).measured
        assert measured is not None
        yield measured


def method_names(model: str, baselines: Sequence[str]) -> list[str]:
    """Unique names of a table's rows, the model first; names that are already unique are unchanged.

    A model with the name of a baseline is printed as ``NAME (model)``; a baseline with the name of another, as
    ``NAME (2)``.

    Args:
        model: Name of the run.
        baselines: Short names of the baselines.
    """
    names = [f"{model} (model)" if model in baselines else model]
    for name in baselines:
        numbered = (f"{name} ({count})" for count in itertools.count(2))
        names.append(next(shown for shown in itertools.chain([name], numbered) if shown not in names))
    return names


def baseline_systems(refs: Sequence[ComponentRef], builder: Builder) -> list[tuple[str, FusionSystem]]:
    """Baselines with their short names; a per-source baseline without a ``source`` gives one row per source."""
    named = []
    for ref in refs:
        name = ref.use.partition(".")[2]
        if builder.registry.find("backbone", ref.use).per_source and ref.params.get("source") is None:
            for role in builder.context.roles:
                one = ComponentRef(use=ref.use, params={**ref.params, "source": role})
                named.append((f"{name} {role}", _baseline_system(one, builder)))
        else:
            shown = name if not ref.params else f"{name} {json.dumps(ref.params, sort_keys=True)}"
            named.append((shown, _baseline_system(ref, builder)))
    return named


def _baseline_system(ref: ComponentRef, builder: Builder) -> FusionSystem:
    context = builder.context
    return FusionSystem(builder.build("backbone", ref), roles=context.roles, classes=context.classes).eval()


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
