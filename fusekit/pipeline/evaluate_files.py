"""The Python API of ``fusekit evaluate``: scores fused images, made by any program, against their sources."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fusekit._version import __version__
from fusekit.data.colour import is_grey
from fusekit.data.decoding import read_raster
from fusekit.errors import DataError, FusekitError, UsageError
from fusekit.evaluation.benchmark import Benchmark, Method, restored
from fusekit.fusing.engine import Engine
from fusekit.fusing.scenes import TensorScene
from fusekit.interfaces.config import ComponentRef
from fusekit.interfaces.metric import Metric
from fusekit.model.assembly import Builder
from fusekit.pipeline.evaluate_stage import baseline_systems
from fusekit.pipeline.inputs import kind_of, repeated_sources
from fusekit.pipeline.metric_choice import choose_metrics
from fusekit.pipeline.pairs import Scene, pair_folders
from fusekit.pipeline.report_stage import metric_table
from fusekit.plugin.registry import registry
from fusekit.progress import Advance
from fusekit.recipe.fuse_options import FuseOptions
from fusekit.report.data import ImageRow, MetricTable
from fusekit.report.saving import check_targets, save_evaluation
from fusekit.words import some

RANGE = "8-bit levels as they are; no image is stretched"
COLOUR = "images in colour are converted to BT.601 grey"
COLOUR_METRICS = f"{COLOUR}, except for metrics of colour; baselines have none, so these are undefined for them"
BIT_DEPTH = (
    "Samples v of 16 bits become round(255 v / 65535), floating point samples round(255 v); other files have 8 bits."
)
MEASURED = (
    "Metrics score the files as they are, converted to 8-bit grey (BT.601) and rounded once; the baselines are scored "
    "before they are written to a file."
)
IDEAL = "The given ideal images, with which some columns compare, are converted in the same way."

_IDEAL = "the ideal"  # key of the ideal among the inputs; roles and methods are distinguished from it by their prefix


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`.

    Attributes:
        plain: All numbers as plain data, with the structure of ``evaluation.json`` of a run.
        table: The means.
        images: The values image by image, and the images that failed.
        unscored: File stems that could not be scored for any method (a source is missing, unreadable or of another
            size), with the reason.
        failed: For each method, the file stems of the images that could not be scored, with the reason.
        notes: Notes for the user, one sentence each.
        saved: The files that were written.
    """

    plain: Mapping[str, Any]
    table: MetricTable
    images: tuple[ImageRow, ...]
    unscored: Mapping[str, str]
    failed: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...] = ()
    saved: tuple[Path, ...] = ()

    @property
    def problems(self) -> set[str]:
        """File stems that could not be scored for at least one method."""
        return set(self.unscored).union(*self.failed.values())


def evaluate(
    fused: str | Path | Mapping[str, str | Path],
    sources: Mapping[str, str | Path],
    *,
    dialects: Sequence[str] = (),
    metrics: Sequence[str] = (),
    ideal: str | Path | None = None,
    baselines: bool = True,
    save: Sequence[str | Path] = (),
    overwrite: bool = False,
    advance: Advance | None = None,
) -> Evaluation:
    """Scores fused images against their sources. The images may have been made by any program.

    All paths are folders, whose images are paired by file stem, or all are files, which form one pair.

    Args:
        fused: Fused images of one method, or of several methods by name.
        sources: Sources by role, at least two.
        dialects: Dialects of which all metrics are computed; default: the metrics that plugins declare for tables.
        metrics: Metric components, such as ``strict.qabf``; only these are computed.
        ideal: Ground-truth fused images, for metrics that compare with them.
        baselines: Also score a copy of each source, the mean, the maximum and a Laplacian pyramid.
        save: Files to write: .csv, .json, .tex, .md or .html.
        overwrite: Replace existing files.
        advance: Progress callback.

    Raises:
        UsageError: Two methods have the same name, there are fewer than two sources, files are mixed with folders, a
            dialect or metric is unknown, or a file to write exists or has an unknown suffix.
        DataError: A folder is missing or has no images, or no image could be scored.
        RunError: A file cannot be written.

    Example:
        >>> done = fusekit.evaluate("fused/", {"infrared": "thermal/", "visible": "visible/"})
        >>> done.table.rows[1].name
        'copy infrared'
    """
    methods = {name: Path(path) for name, path in _methods(fused).items()}
    given = {role: Path(path) for role, path in sources.items()}
    if len(given) < 2:
        raise UsageError(f"an evaluation needs two or more sources, got {len(given)}", hint="--source ROLE=PATH")
    inputs = _Inputs(methods, given, None if ideal is None else Path(ideal))
    targets = [Path(path) for path in save]
    check_targets(targets, overwrite=overwrite)
    chosen, notes = choose_metrics(registry(), dialects, metrics, ideal=ideal is not None)
    builder = Builder(tuple(given), None)
    built: dict[str, Metric] = {name: builder.build("metric", ComponentRef(use=name)) for name in chosen}
    rules = _baselines(builder) if baselines else {}
    if clash := [name for name in methods if name in rules]:
        raise UsageError(f"a method has the name of a baseline: {clash[0]}", hint="give it another name with NAME=PATH")
    job = _Job(inputs, built, rules)
    job.run(advance)
    evaluation = job.result((*notes, *inputs.notes()))
    for path in targets:
        save_evaluation(evaluation.plain, evaluation.table, evaluation.images, path)
    return Evaluation(**{**vars(evaluation), "saved": tuple(targets)})


def _methods(fused: str | Path | Mapping[str, str | Path]) -> Mapping[str, str | Path]:
    if isinstance(fused, Mapping):
        if not fused or not all(fused):
            raise UsageError("every method needs a name", hint="give the fused images as NAME=PATH")
        return fused
    return {default_name(Path(fused)): fused}


def default_name(path: Path) -> str:
    """Name of a method without one: the name of its folder, or the stem of its file."""
    return path.resolve().name or "fused" if path.is_dir() else path.stem


def _baselines(builder: Builder) -> dict[str, Engine]:
    refs = [ComponentRef(use=spec.name) for spec in builder.registry.for_tables("backbone")]
    return {name: Engine(system, FuseOptions()) for name, system in baseline_systems(refs, builder)}


@dataclass(frozen=True)
class _Inputs:
    """The files or folders of an evaluation."""

    methods: Mapping[str, Path]
    sources: Mapping[str, Path]
    ideal: Path | None

    def references(self) -> dict[str, Path]:
        """The sources, and the ideal if there is one."""
        return {**self.sources, **({} if self.ideal is None else {_IDEAL: self.ideal})}

    def notes(self) -> Iterator[str]:
        everything = {**self.references(), **{f"fused images {name}": path for name, path in self.methods.items()}}
        for path in repeated_sources(everything):
            yield f"{path} is given twice: its images are compared with themselves"

    def scenes(self) -> tuple[list[tuple[Scene, dict[str, Path]]], dict[str, str], dict[str, dict[str, str]]]:
        """Pairs the images.

        Returns:
            Each scene with the fused images by method; the reason for each stem without a scene; and for each method
            the reason for each scene without a fused image.

        Raises:
            UsageError, DataError: As `evaluate`.
        """
        named = {f"fused images {name}": path for name, path in self.methods.items()}
        kind = kind_of({**self.references(), **named})
        if kind == "videos":
            raise UsageError("videos cannot be evaluated", hint="extract their frames as images")
        failed: dict[str, dict[str, str]] = {name: {} for name in self.methods}
        if kind == "images":
            one = Scene(next(iter(self.methods.values())).stem, self.references())
            return [(one, dict(self.methods))], {}, failed
        paired, unscored = pair_folders(self.references())
        images: dict[str, dict[str, Path]] = {}
        for name, folder in self.methods.items():
            found, repeated = pair_folders({f"fused images {name}": folder})
            images[name] = {scene.id: next(iter(scene.files.values())) for scene in found}
            failed[name] = repeated
        ids = {scene.id for scene in paired}
        folders = dict.fromkeys(map(str, self.references().values()))
        missing = f"no image with this stem in {', '.join(folders)}"
        for stem in sorted({stem for found in images.values() for stem in found} - ids):
            unscored.setdefault(stem, missing)
        scenes = []
        for scene in paired:
            own = {name: found[scene.id] for name, found in images.items() if scene.id in found}
            for name, folder in self.methods.items():
                if name not in own:
                    failed[name].setdefault(scene.id, f"no image with this stem in {folder}")
            if own:
                scenes.append((scene, own))
        return scenes, unscored, {name: dict(sorted(reasons.items())) for name, reasons in failed.items()}


@dataclass
class _Seen:
    """Bit depths and colour of the files of one input.

    Attributes:
        bits: Number of files by bit depth: ``8``, ``16`` or ``floating point``.
        coloured: Number of files in colour.
    """

    bits: Counter[str] = field(default_factory=Counter)
    coloured: int = 0


class _Job:
    """Scores scene by scene. Each method has its own benchmark, because it may lack images that others have."""

    def __init__(self, inputs: _Inputs, metrics: Mapping[str, Metric], rules: Mapping[str, Engine]) -> None:
        self.inputs = inputs
        self.rules = rules
        self.rows = {name: Benchmark([Method(name)], metrics) for name in (*inputs.methods, *rules)}
        self.seen: dict[str, _Seen] = {}
        self.scenes, self.unscored, missing = inputs.scenes()
        self.failed = {**missing, **{name: {} for name in rules}}
        self.ids: list[str] = []

    def run(self, advance: Advance | None) -> None:
        for number, (scene, fused) in enumerate(self.scenes, 1):
            try:
                self._scene(scene, fused)
            except FusekitError as error:
                self.unscored[scene.id] = _one_line(error)
            if advance is not None:
                advance(number, len(self.scenes), scene.id)
        if not self.ids:
            raise DataError(
                f"no image could be scored: {some(self._reasons(), 5)}",
                hint="fused images and sources are paired by file stem, and must have the same size",
            )

    def _scene(self, scene: Scene, fused: Mapping[str, Path]) -> None:
        images = {key: self._read(key, path) for key, path in scene.files.items()}
        ideal = images.pop(_IDEAL, None)
        sources = list(images.values())
        size = sources[0].shape[-2:]
        if any(image.shape[-2:] != size for image in (*sources, *([] if ideal is None else [ideal]))):
            named = {**images, **({} if ideal is None else {_IDEAL: ideal})}
            sizes = ", ".join(f"{key} {_size(image)}" for key, image in named.items())
            raise DataError(f"the sources differ in size (height x width): {sizes}")
        scored = False
        for name, path in fused.items():
            try:
                image = self._read(f"fused {name}", path)
                if image.shape[-2:] != size:
                    raise DataError(
                        f"the fused image is {_size(image)} (height x width), but its sources are {_size(sources[0])}"
                    )
            except FusekitError as error:
                self.failed[name][scene.id] = _one_line(error)
                continue
            self.rows[name].add_scene(scene.id, sources, None, [image], ideal)
            scored = True
        if not scored:
            return
        self.ids.append(scene.id)
        for name, engine in self.rules.items():
            try:
                measured = engine.fuse(TensorScene(sources), measure=True).measured
            except FusekitError as error:
                self.failed[name][scene.id] = _one_line(error)
                continue
            assert measured is not None
            self.rows[name].add_scene(scene.id, sources, None, [measured], ideal)

    def _read(self, key: str, path: Path) -> Tensor:
        """An image, (1 or 3, H, W) in [0, 1]."""
        raster = read_raster(path)
        image = torch.from_numpy(raster.values())
        seen = self.seen.setdefault(key, _Seen())
        seen.bits[{255.0: "8", 65535.0: "16"}.get(raster.peak, "floating point")] += 1
        seen.coloured += not is_grey(image)
        return image

    def _reasons(self) -> list[str]:
        listed = [f"{stem}: {reason}" for stem, reason in self.unscored.items()]
        return listed + [f"{stem}: {reason}" for reasons in self.failed.values() for stem, reason in reasons.items()]

    def result(self, notes: tuple[str, ...]) -> Evaluation:
        roles = tuple(self.inputs.sources)
        first = next(benchmark for benchmark in self.rows.values() if benchmark.ids)
        metrics = first.to_plain()["metrics"]
        depths = {key: dict(seen.bits) for key, seen in self.seen.items()}
        dialects = list(dict.fromkeys(metric["dialect"] for metric in metrics.values()))
        plain = {
            "scenes": self.ids,
            "metrics": metrics,
            "methods": [self._method(name, list(metrics)) for name in self.rows],
            "task": None,
            "note": f"{MEASURED} {IDEAL}" if self.inputs.ideal is not None else MEASURED,
            "subset": "; ".join(f"{role}: {path}" for role, path in self.inputs.sources.items()),
            "roles": list(roles),
            "dialects": dialects,
            "range": RANGE,
            "colour": COLOUR_METRICS if any(metric.colour for metric in first.metrics.values()) else COLOUR,
            "coloured": {key: seen.coloured for key, seen in self.seen.items()},
            "bit_depth": BIT_DEPTH,
            "bit_depths": depths,
            "unscored": dict(sorted(self.unscored.items())),
            "fusekit": __version__,
        }
        failed = {name: reasons for name, reasons in self.failed.items() if reasons}
        noted = (*notes, *_depth_notes(depths))
        table = metric_table(plain, roles)
        return Evaluation({**plain, "notes": list(noted)}, table, _image_rows(plain), plain["unscored"], failed, noted)

    def _method(self, name: str, metrics: Sequence[str]) -> dict[str, Any]:
        """A method as in ``evaluation.json``, its lists in the order of all scenes."""
        benchmark = self.rows[name]
        (scores,) = benchmark.scores
        (own,) = benchmark.to_plain()["methods"]
        at = {scene: position for position, scene in enumerate(benchmark.ids)}
        values = {key: own["per_image"].get(key, []) for key in metrics}
        return {
            **own,
            "is_baseline": name in self.rules,
            "images": len(benchmark.ids),
            "failed": self.failed[name],
            "mean": {key: own["mean"].get(key) for key in metrics},
            "per_image": {key: [found[at[s]] if s in at else None for s in self.ids] for key, found in values.items()},
            "per_image_per_source": {
                key: [_plain(rows[at[s]]) if s in at else [] for s in self.ids]
                for key, rows in scores.per_source.items()
                if any(rows)
            },
        }


def _image_rows(plain: Mapping[str, Any]) -> tuple[ImageRow, ...]:
    rows = []
    for position, scene in enumerate(plain["scenes"]):
        for method in plain["methods"]:
            if scene not in method["failed"]:
                values = tuple(restored(method["per_image"][key][position]) for key in plain["metrics"])
                rows.append(ImageRow(scene, method["name"], values))
    for method in plain["methods"]:
        rows += [ImageRow(scene, method["name"], error=reason) for scene, reason in method["failed"].items()]
    rows += [ImageRow(scene, "all methods", error=reason) for scene, reason in plain["unscored"].items()]
    return tuple(rows)


def _depth_notes(depths: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """A note about the mapping to 8 bits if a file has another bit depth."""
    other = [
        f"{key}: {bits}{' bits' if bits == '16' else ''} in {count} of {sum(found.values())} files"
        for key, found in depths.items()
        for bits, count in found.items()
        if bits != "8"
    ]
    if other:
        yield f"mapped to 8 bits before scoring ({'; '.join(other)}). {BIT_DEPTH}"


def _plain(values: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values]


def _size(image: Tensor) -> str:
    return f"{image.shape[-2]}x{image.shape[-1]}"


def _one_line(error: FusekitError) -> str:
    return ". ".join(filter(None, [error.message, error.hint])).replace("\n", " ")
