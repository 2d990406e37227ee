"""The retrained protocol of a benchmark: the same network is trained on the images of every method, with several seeds.

Each training is an ordinary run, so it can be looked at, and it resumes after a kill.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fusekit.benchmarking.file import DownstreamSection
from fusekit.benchmarking.identity import digest
from fusekit.benchmarking.methods import Method, failure
from fusekit.benchmarking.statistics import describe, plain
from fusekit.benchmarking.workbench import Workbench
from fusekit.data.image_writing import write_image, write_raster
from fusekit.data.raster import Raster
from fusekit.errors import FusekitError, RunError, UsageError
from fusekit.evaluation.benchmark import restored
from fusekit.files import file_name
from fusekit.model.assembly import build_dataset
from fusekit.pipeline.display import Display
from fusekit.pipeline.run import run
from fusekit.pipeline.run_folder import fingerprints
from fusekit.recipe.recipe import Recipe

EXPLANATION = (
    "Retrained: a network is trained on the fused training images of each method, with the same schedule, and applied "
    "to its fused test images. The value is the mean over the seeds, the spread the sample standard deviation. One "
    "confusion matrix is computed over all scenes of a run; the mean leaves out classes that occur neither in the "
    "labels nor in the predictions."
)


def retrained(bench: Workbench, section: DownstreamSection, folder: Path, display: Display) -> dict[str, Any]:
    """Trains the network of a recipe for every method and seed, and returns the table as plain data.

    Args:
        bench: The workbench.
        section: The entry of the ``downstream`` section.
        folder: Folder of the runs.
        display: Progress output.

    Raises:
        RecipeError: The recipe is not valid.
        UsageError: Its data has no labels or other roles, or it trains no segmentation network.
        RunError: A file cannot be written.
    """
    assert section.recipe is not None
    recipe = Recipe.load(section.recipe, section.override, registry=bench.file.registry)
    roles, classes = bench.entry(section.dataset).roles, recipe.data_config.classes()
    if recipe.data_config.roles() != roles:
        raise UsageError(
            f"the data of {section.recipe} has the roles {', '.join(recipe.data_config.roles())}, "
            f"{section.dataset} has {', '.join(roles)}"
        )
    if classes is None or recipe.model.model.task is None:
        raise UsageError(f"{section.recipe} trains no segmentation network on labelled data")
    rows = []
    for name, method in bench.methods(section.dataset).items():
        if section.methods is not None and name not in section.methods:
            continue
        row: dict[str, Any] = {"method": name, "value": None, "spread": None, "columns": [None for _ in classes.names]}
        try:
            rows.append({**row, **_row(bench, section, recipe, method, folder / file_name(name), display)})
        except FusekitError as error:
            display.warn(f"{name} is not retrained: {failure(error)}")
            rows.append({**row, "failed": failure(error)})
    return {
        "dataset": section.dataset,
        "protocol": "retrained",
        "task": "segmentation",
        "network": f"{section.recipe}, seeds {', '.join(map(str, section.seeds))}",
        "explanation": EXPLANATION,
        "labels": recipe.data_config.provenance().labels,
        "measure": "mean IoU",
        "columns": list(classes.names),
        "rows": rows,
    }


def _row(
    bench: Workbench, section: DownstreamSection, recipe: Recipe, method: Method, folder: Path, display: Display
) -> dict[str, Any]:
    """The mean and spread over the seeds for one method."""
    first = build_dataset(recipe, "train").ids[0]
    # Another model or recipe trains in another folder, so nothing of an earlier one is used.
    folder = folder / digest(method.identity(first), fingerprints(recipe)["train"])[:12]
    _write_data(bench, recipe, method, folder / "data")
    found = []
    for seed in section.seeds:
        derived = Recipe.from_dict(_on_fused(recipe, method, folder / "data", seed), registry=bench.file.registry)
        display.info(f"retrain on {method.name}, seed {seed}")
        done = run(derived, runs=folder, device=str(bench.device), resume=True, display=display)
        found.append(_score(done.folder.evaluation))
    value, spread = describe(np.array([score for score, _ in found]))
    columns = [plain(describe(np.array(values))[0]) for values in zip(*(iou for _, iou in found), strict=True)]
    return {"value": plain(value), "spread": plain(spread), "columns": columns}


def _write_data(bench: Workbench, recipe: Recipe, method: Method, folder: Path) -> None:
    """Fused luminance and label maps of the recipe's training and test scenes; finished files are kept."""
    for split in ("train", "test"):
        dataset = build_dataset(recipe, split)
        for index in range(len(dataset)):
            sample = dataset[index]
            name = file_name(sample.id)
            image, label = folder / split / "fused" / f"{name}.png", folder / split / "labels" / f"{name}.png"
            if image.is_file() and label.is_file():
                continue
            if sample.label is None:
                raise UsageError(f"scene {sample.id} has no label map")
            write_image(image, bench.fuse(method, sample).measured[None] / 255.0)
            write_raster(label, Raster(sample.label.numpy().astype(np.uint8), 255.0))


def _on_fused(recipe: Recipe, method: Method, data: Path, seed: int) -> dict[str, Any]:
    """The recipe on the fused images of a method: one source, the same network and schedule."""
    classes = recipe.data_config.classes()
    assert classes is not None
    given = {key: value for key, value in recipe.plain.items() if key != "when_missing"}
    provenance = recipe.data_config.provenance()
    return {
        **given,
        "name": f"seed-{seed}",
        "seed": seed,
        "data": {
            "use": "data.pairs",
            "root": str(data),
            "params": {
                "name": f"{provenance.name} fused by {method.name}",
                "sources": {"fused": "{split}/fused"},
                "labels": "{split}/labels",
                "class_names": list(classes.names),
                "ignore_index": classes.ignore_index,
                "unlabelled": classes.unlabelled,
                "label_kind": "pseudo" if provenance.labels == "pseudo" else "human",
            },
        },
        "evaluate": {"metrics": [], "baselines": [], "task": True, "pictures": 0},
    }


def _score(evaluation: Path) -> tuple[float, list[float]]:
    """Mean IoU and IoU of every class of the network on its fused test images."""
    found: Mapping[str, Any] = json.loads(evaluation.read_text(encoding="utf-8"))
    rows: Iterator[Mapping[str, Any]] = (row for row in (found["task"] or {}).get("rows", []) if row["is_model"])
    row = next(rows, None)
    if row is None:
        raise RunError(f"{evaluation} has no scores of a segmentation network")
    return restored(row["mean_iou"]), [restored(value) for value in row["iou"]]
