"""The evaluation stage of a run: the model beside trivial baselines, in every metric."""

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
from fusekit.files import write_text
from fusekit.fusing.engine import Engine
from fusekit.fusing.scenes import TensorScene
from fusekit.interfaces.config import ComponentRef
from fusekit.interfaces.dataset import FusionDataset, Sample
from fusekit.interfaces.metric import Metric, ReferenceMetric
from fusekit.interfaces.task import SegmentationNetwork
from fusekit.model.assembly import Builder
from fusekit.model.model_file import load_system
from fusekit.model.system import FusionSystem
from fusekit.pipeline.display import Display
from fusekit.pipeline.fuse_stage import chosen_scenes
from fusekit.pipeline.run_folder import RunFolder
from fusekit.recipe.fuse_options import FuseOptions
from fusekit.recipe.recipe import Recipe

MEASURED = "Scored is the fused luminance, rounded once to 8 bits, before chroma is put back; sources are BT.601 grey."
IDEAL = (
    "The known ideal, with which some columns compare, is what the program that made the scenes defines as the right "
    "fused image, rounded to 8-bit grey too: another program might define another one."
)


def evaluate_stage(recipe: Recipe, folder: RunFolder, device: torch.device, display: Display) -> None:
    """Measures ``measured/*.png`` and the baselines; writes ``evaluation.json`` and ``evaluation.csv``.

    Raises:
        DataError: A fused image is gone or a scene cannot be read.
    """
    system, _ = load_system(folder.model, device=device, components=recipe.registry)
    settings = recipe.model.evaluate
    builder = Builder(system.roles, system.classes, recipe.registry)
    dataset, scenes = chosen_scenes(recipe)
    metrics: dict[str, Metric] = {
        name: builder.build("metric", ComponentRef(use=name)) for name in metric_names(recipe, dataset, scenes)
    }
    task = system.task if settings.task and isinstance(system.task, SegmentationNetwork) else None
    rivals = _baselines(settings.baselines or [], system, builder)
    names = method_names(recipe.model.name, [name for name, _ in rivals])
    methods = [Method(name, is_model=position == 0) for position, name in enumerate(names)]
    benchmark = Benchmark(methods, metrics, task, device)
    # In tiles or whole as the model, but in a range of their own, which rules keep.
    engines = [Engine(rival, FuseOptions(tile=recipe.model.fuse.tile)) for _, rival in rivals]
    with display.progress("evaluate") as advance:
        for index in scenes:
            sample = dataset[index]
            results = _results(folder, sample, engines)
            benchmark.add_scene(sample.id, sample.images, sample.label, results, ideal=sample.ideal)
            advance(index + 1, len(scenes), sample.id)
    note = f"{MEASURED} {IDEAL}" if any(isinstance(m, ReferenceMetric) for m in metrics.values()) else MEASURED
    plain = {**benchmark.to_plain(), "note": note, "subset": _subset(recipe, len(scenes))}
    write_text(folder.evaluation, json.dumps(plain, indent=1) + "\n")
    write_text(folder.table, per_image_table(plain))


def metric_names(recipe: Recipe, dataset: FusionDataset, scenes: Sequence[int]) -> list[str]:
    """Components of the table's columns: those of the recipe, and where it leaves the choice, those against the ideal.

    A list of the recipe's own is taken at its word. The default one, which cannot know the data, is lengthened
    where the first scene has an ideal. It is told by its content, since a resolved recipe writes it out.

    Args:
        recipe: Says ``evaluate.metrics``.
        dataset: What is measured on.
        scenes: Which of its scenes.
    """
    listed = recipe.model.evaluate.metrics or []
    default = [spec.name for spec in recipe.registry.for_tables("metric")]
    if listed != default or not scenes or dataset[scenes[0]].ideal is None:
        return listed
    return listed + [spec.name for spec in recipe.registry.for_tables("metric", needs_ideal=True)]


def _results(folder: RunFolder, sample: Sample, rivals: Sequence[Engine]) -> Iterator[Tensor]:
    """What the model made of a scene, then what each baseline makes of it."""
    path = folder.scene_file(folder.measured, sample.id)
    if not path.is_file():
        raise DataError(f"{path} is gone", hint="--stage fuse makes it again")
    yield read_image(path)
    for rival in rivals:
        measured = rival.fuse(TensorScene(sample.images), measure=True).measured
        assert measured is not None
        yield measured


def method_names(model: str, baselines: Sequence[str]) -> list[str]:
    """Names of a table's rows, the model first: all different, and as given where they are.

    A model that bears a baseline's name is printed as ``NAME (model)``; a baseline that repeats another, as
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


def _baselines(refs: Sequence[ComponentRef], system: FusionSystem, builder: Builder) -> list[tuple[str, FusionSystem]]:
    """Baselines with their short names; one that is made per source, without saying which, stands for each."""
    found = []
    for ref in refs:
        name = ref.use.partition(".")[2]
        if builder.registry.find("backbone", ref.use).per_source and ref.params.get("source") is None:
            for role in system.roles:
                one = ComponentRef(use=ref.use, params={**ref.params, "source": role})
                found.append((f"{name} {role}", _rival(one, system, builder)))
        else:
            shown = name if not ref.params else f"{name} {json.dumps(ref.params, sort_keys=True)}"
            found.append((shown, _rival(ref, system, builder)))
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
