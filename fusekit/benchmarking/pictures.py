"""The pictures of a benchmark's page: the worst and best cases of every dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusekit.benchmarking.methods import Fusion
from fusekit.benchmarking.statistics import Column, Values, best
from fusekit.benchmarking.workbench import Workbench
from fusekit.evaluation.grey import grey8
from fusekit.files import file_name
from fusekit.pipeline.scene_subset import spread_over
from fusekit.report.benchmark_pictures import nearest_source_error, shared_scale, write_map, write_picture

NEAREST = "nearest source"


def chosen_scenes(
    values: Mapping[str, Mapping[str, Values]],
    methods: Sequence[str],
    baselines: Sequence[str],
    columns: Sequence[Column],
    count: int,
) -> list[int]:
    """Positions of the scenes that are shown: the worst and the best cases, in the order of the dataset.

    A case is bad for a method if its values are lower than those of the best baseline, in standard deviations of the
    difference, on the mean over the metrics. The methods take turns. If there are only baselines, the scenes are spread
    over the dataset.

    Args:
        values: Method → metric → one value per scene.
        methods: Names of the methods whose cases are chosen.
        baselines: Names of the baselines with which they are compared.
        columns: The metrics.
        count: Number of scenes.
    """
    total = len(next(iter(next(iter(values.values())).values()), [])) if values else 0
    if count >= total:
        return list(range(total))
    orders = [order for name in methods if (order := _from_worst(values, name, baselines, columns)) is not None]
    if not orders:
        return spread_over(total, count)
    turns = [scene for pair in zip(*(side for o in orders for side in (o, o[::-1])), strict=True) for scene in pair]
    return sorted(list(dict.fromkeys(turns))[:count])


def _from_worst(
    values: Mapping[str, Mapping[str, Values]], name: str, baselines: Sequence[str], columns: Sequence[Column]
) -> list[int] | None:
    """Positions of the scenes from the worst to the best case of a method; None if nothing can be compared."""
    differences = []
    for column in columns:
        own = {method: found[column.key] for method, found in values.items()}
        reference = best(own, baselines, column)
        if reference is None:
            continue
        difference = (own[name] - own[reference]) * (1 if column.higher_is_better else -1)
        spread = float(np.nanstd(difference)) if np.isfinite(difference).any() else 0.0
        if spread > 0:
            differences.append(difference / spread)
    if not differences:
        return None
    known = np.isfinite(np.stack(differences))
    mean = np.where(known, np.stack(differences), 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return [int(position) for position in np.argsort(np.where(known.any(axis=0), mean, np.inf), kind="stable")]


def write_pictures(bench: Workbench, dataset: str, indices: Sequence[int], folder: Path) -> dict[str, Any]:
    """Writes the sources, the fused images and the maps of scenes.

    Args:
        bench: The workbench.
        dataset: Name of the dataset.
        indices: Indices of the scenes.
        folder: Folder of the page.

    Returns:
        The paths relative to `folder`, in the structure of ``benchmark.json``.

    Raises:
        RunError: A file cannot be written.
    """
    return {
        sample.id: _Scene(bench, dataset, sample, folder).write()
        for sample in (bench.read(dataset, index) for index in indices)
    }


class _Scene:
    """The pictures of one scene."""

    def __init__(self, bench: Workbench, dataset: str, sample: Any, folder: Path) -> None:
        self.bench = bench
        self.dataset = dataset
        self.sample = sample
        self.folder = folder
        self.place = Path("pictures") / file_name(dataset) / file_name(sample.id)
        self._names: list[str] = []

    def _path(self, name: str) -> str:
        """Path of a picture, relative to the folder of the page."""
        own = file_name(name, self._names)
        self._names.append(own)
        return (self.place / f"{own}.png").as_posix()

    def _picture(self, name: str, image: Any) -> str:
        path = self._path(name)
        write_picture(image, self.folder / path)
        return path

    def write(self) -> dict[str, Any]:
        """Writes all pictures and returns their paths."""
        sample, roles = self.sample, self.bench.entry(self.dataset).roles
        found: dict[str, Any] = {
            "sources": {r: self._picture(f"source {r}", i) for r, i in zip(roles, sample.images, strict=True)},
            "methods": {},
        }
        if sample.ideal is not None:
            found["ideal"] = self._picture("ideal", sample.ideal)
        fused: dict[str, Fusion] = {}
        for name, method in self.bench.methods(self.dataset).items():
            try:
                fused[name] = self.bench.fuse(method, sample)
            except Exception:  # the tables report it
                continue
        sources = [grey8(image) for image in sample.images]
        errors = {name: nearest_source_error(fusion.measured, sources) for name, fusion in fused.items()}
        scale = shared_scale(list(errors.values()))
        metrics = self.bench.metrics(ideal=sample.ideal is not None)
        for name, fusion in fused.items():
            maps = {NEAREST: self._path(f"{name} {NEAREST}")}
            write_map(errors[name], self.folder / maps[NEAREST], scale=scale)
            for key, metric in metrics.items():
                values = metric.map(fusion.measured, sources)
                if values is not None:
                    maps[key] = self._path(f"{name} {key}")
                    write_map(values, self.folder / maps[key])
            found["methods"][name] = {"fused": self._picture(name, fusion.image), "maps": maps}
        return found
