"""Scores the scenes of a benchmark, one at a time. Every process that takes part has its own workbench."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import torch

from fusekit.benchmarking.file import BenchmarkFile, DatasetEntry
from fusekit.benchmarking.identity import SCORING, code_digest, digest, image_digest
from fusekit.benchmarking.methods import Fusion, Method, MethodLoader, failure
from fusekit.benchmarking.store import Store
from fusekit.errors import DataError, FusekitError, PluginError, UsageError
from fusekit.evaluation.grey import grey8
from fusekit.evaluation.scoring import score
from fusekit.interfaces.config import ComponentRef, Severity
from fusekit.interfaces.dataset import FusionDataset, Sample
from fusekit.interfaces.metric import Metric, MetricValue
from fusekit.interfaces.transform import Transform, degrade
from fusekit.model.assembly import Builder
from fusekit.pipeline.metric_choice import choose_metrics
from fusekit.pipeline.scene_subset import spread_over
from fusekit.seeds import stream_seed

Values = dict[str, MetricValue]
"""The values of one fused image by metric component."""


@dataclass
class SceneResult:
    """The values of all methods on one scene.

    Attributes:
        scene: Identifier of the scene.
        values: Method → values.
        failed: Method → why it has no values.
        unscored: Why the scene could not be scored for any method, or None.
        found: Method → what a task network finds in its image, plain data.
    """

    scene: str
    values: dict[str, Values] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    unscored: str | None = None
    found: dict[str, Any] = field(default_factory=dict)


class Workbench:
    """Datasets, methods and metrics of a benchmark, built when they are first used.

    Args:
        file: The benchmark.
        store: Where values and fused images are kept.
        device: Device on which models fuse.
    """

    def __init__(self, file: BenchmarkFile, store: Store, device: torch.device) -> None:
        self.file = file
        self.store = store
        self.device = device
        self._loader = MethodLoader(file.registry, file.model.fuse, device)
        self._datasets: dict[str, FusionDataset] = {}
        self._methods: dict[str, tuple[dict[str, Method], dict[str, str]]] = {}
        self._metrics: dict[bool, dict[str, Metric]] = {}
        self._codes: dict[str, str] = {}
        self._ideals: dict[str, bool] = {}
        self.networks: dict[int, Any] = {}

    def entry(self, name: str) -> DatasetEntry:
        """A dataset of the file by name."""
        return next(entry for entry in self.file.datasets if entry.name == name)

    def dataset(self, name: str) -> FusionDataset:
        """A dataset, built on the first call.

        Raises:
            DataError: The data is missing, or its files do not form pairs.
        """
        if name not in self._datasets:
            entry = self.entry(name)
            if entry.unset is not None:
                raise DataError(f"the environment variable {entry.unset}, from which `root` is read, is not set")
            found = self.file.registry.component_class("dataset", entry.section.use)
            seed = stream_seed(entry.section.seed, "data")
            self._datasets[name] = found(entry.config, entry.root, entry.section.split, seed=seed)
        return self._datasets[name]

    @cached_property
    def missing(self) -> dict[str, str]:
        """Datasets whose data is missing, with the reason; data of a split that is not used may be missing."""
        reasons = {}
        for entry in self.file.datasets:
            try:
                self.dataset(entry.name)
            except DataError as error:
                reasons[entry.name] = error.message
        return reasons

    @property
    def present(self) -> tuple[DatasetEntry, ...]:
        """The datasets whose data is present."""
        return tuple(entry for entry in self.file.datasets if entry.name not in self.missing)

    def check_data(self, *, skip_missing: bool) -> None:
        """Refuses missing data.

        Args:
            skip_missing: Refuse only if the data of every dataset is missing.

        Raises:
            DataError: Lists the datasets whose data is missing.
        """
        if self.missing and not (skip_missing and self.present):
            raise DataError(
                "\n".join(f"{name}: {reason}" for name, reason in self.missing.items()),
                hint="correct `root` of these datasets, or remove them"
                + ("" if skip_missing or len(self.file.datasets) == 1 else "; --skip-missing leaves them out"),
            )

    def scenes(self, name: str) -> range:
        """Indices of the scenes of a dataset that are used."""
        count, limit = len(self.dataset(name)), self.entry(name).section.limit
        return range(count if limit is None else min(limit, count))

    def has_ideal(self, name: str) -> bool:
        """Whether a dataset has ground-truth fused images; reads its first scene once."""
        if name not in self._ideals:
            self._ideals[name] = len(self.scenes(name)) > 0 and self.read(name, 0).ideal is not None
        return self._ideals[name]

    def methods(self, name: str) -> dict[str, Method]:
        """The methods of a dataset by printed name, baselines last.

        Raises:
            FusekitError: A method cannot be used.
        """
        return self._of_dataset(name)[0]

    def left_out(self, name: str) -> dict[str, str]:
        """Methods that do not apply to a dataset, with the reason."""
        return self._of_dataset(name)[1]

    def _of_dataset(self, name: str) -> tuple[dict[str, Method], dict[str, str]]:
        if name not in self._methods:
            entry, model = self.entry(name), self.file.model
            made: dict[str, Method] = {}
            left_out: dict[str, str] = {}
            for section in model.methods:
                found = self._loader.of(section, entry)
                if isinstance(found, str):
                    left_out[section.printed] = found
                else:
                    made.update({method.name: method for method in found})
            refs = model.baselines
            if refs is None:
                refs = [ComponentRef(use=spec.name) for spec in self.file.registry.for_tables("backbone")]
            for method in self._loader.rules(refs, entry, "baseline", model.fuse):
                if method.name in made:
                    raise UsageError(
                        f"a method has the name of a baseline: {method.name}",
                        hint="give it another `name`, or in fusekit compare, NAME=PATH",
                    )
                made[method.name] = method
            self._methods[name] = made, left_out
        return self._methods[name]

    def metrics(self, *, ideal: bool) -> dict[str, Metric]:
        """The metrics by component name.

        Args:
            ideal: Whether the data has ground-truth fused images.

        Raises:
            UsageError: A dialect or metric is unknown.
        """
        if ideal not in self._metrics:
            model = self.file.model
            names, self.metric_notes = choose_metrics(self.file.registry, model.dialects, model.metrics, ideal=ideal)
            self._metrics[ideal] = self.named_metrics(names)
        return self._metrics[ideal]

    def transform(self, name: str, dataset: str) -> Transform:
        """A degradation for the roles of a dataset.

        Raises:
            UsageError: It suits none of the roles.
        """
        builder = Builder(self.entry(dataset).roles, None, self.file.registry)
        built: Transform = builder.build("transform", ComponentRef(use=name))
        return built

    def named_metrics(self, names: Sequence[str]) -> dict[str, Metric]:
        """Metrics by component name."""
        builder = Builder((), None, self.file.registry)
        return {name: builder.build("metric", ComponentRef(use=name)) for name in names}

    metric_notes: tuple[str, ...] = ()
    """Notes of the choice of metrics."""

    def read(self, name: str, index: int) -> Sample:
        """Reads a scene.

        Raises:
            DataError: It cannot be read.
        """
        return self.dataset(name)[index]

    def score_scene(self, name: str, index: int) -> SceneResult:
        """The values of all methods on one scene, from the store where possible."""
        try:
            sample = self.read(name, index)
        except FusekitError as error:
            return SceneResult(self.dataset(name).ids[index], unscored=failure(error))
        metrics = self.metrics(ideal=sample.ideal is not None)
        return self.score_sample(self.methods(name), sample, sample, metrics)

    def score_degraded(self, number: int, transform: str, severity: str, index: int) -> SceneResult:
        """The values of all methods on degraded sources, compared with the sources as they were.

        Args:
            number: Number of the entry in the ``robustness`` section.
            transform: Transform component.
            severity: Named severity, or ``none``.
            index: Index of the scene.
        """
        section = self.file.model.robustness[number]
        sample = self.read(section.dataset, index)
        given = sample
        if severity != "none":
            built = self.transform(transform, section.dataset)
            given = degrade(sample, built, cast(Severity, severity), name=transform, seed=section.seed)
        metrics = self.metrics(ideal=sample.ideal is not None)
        if section.metrics is not None:
            metrics = self.named_metrics(section.metrics)
        methods = {name: m for name, m in self.methods(section.dataset).items() if m.system is not None}
        return self.score_sample(methods, given, sample, metrics)

    def score_sample(
        self, methods: Mapping[str, Method], given: Sample, reference: Sample, metrics: Mapping[str, Metric]
    ) -> SceneResult:
        """The values of methods on one scene.

        Args:
            methods: The methods by name.
            given: The scene that is fused.
            reference: The scene whose sources the fused image is compared with; another one if `given` is degraded.
            metrics: The metrics by component name.
        """
        result = SceneResult(reference.id)
        scene = image_digest(given.images)
        compared = image_digest([*reference.images, reference.ideal])
        wanted: dict[str, tuple[str, dict[str, Metric]]] = {}
        for method in methods.values():
            try:
                key = digest(method.identity(given.id), scene, compared)
            except FusekitError as error:
                result.failed[method.name] = failure(error)
                continue
            known = self._known(key, metrics)
            result.values[method.name] = known
            missing = {name: metric for name, metric in metrics.items() if name not in known}
            if missing:
                wanted[method.name] = key, missing
        self._compute(wanted, methods, given, reference, result)
        return result

    def _compute(
        self,
        wanted: Mapping[str, tuple[str, dict[str, Metric]]],
        methods: Mapping[str, Method],
        given: Sample,
        reference: Sample,
        result: SceneResult,
    ) -> None:
        """Computes and stores what is missing; methods that lack the same metrics are scored together."""
        fused: dict[str, Fusion] = {}
        for name in wanted:
            try:
                fused[name] = self.fuse(methods[name], given)
            except Exception as error:  # also an error of a plugin: the other methods are scored all the same
                result.values.pop(name, None)
                result.failed[name] = failure(error)
        groups: dict[tuple[str, ...], list[str]] = {}
        for name in fused:
            groups.setdefault(tuple(wanted[name][1]), []).append(name)
        for names in groups.values():
            metrics = wanted[names[0]][1]
            try:
                scored = _scores(metrics, [fused[name] for name in names], reference)
            except FusekitError:
                raise
            except Exception as error:
                raise PluginError(
                    f"a metric among {', '.join(metrics)} failed on scene {reference.id}: {failure(error)}",
                    hint="this is a bug in the plugin; please report it to its authors",
                ) from error
            for name, values in zip(names, scored, strict=True):
                result.values[name].update(values)
                self.store.add_values(wanted[name][0], {key: self._stored(key, values[key]) for key in metrics})

    def fuse(self, method: Method, sample: Sample) -> Fusion:
        """The fused image of a scene, from the store if the method is slow.

        Raises:
            FusekitError: The scene cannot be fused.
        """
        if not method.stored:
            return method.fuse(sample)
        key = digest(method.identity(sample.id), image_digest(sample.images))
        image, measured = self.store.image(f"{key}-image"), self.store.image(f"{key}-measured")
        if image is None or measured is None:
            fusion = method.fuse(sample)
            self.store.add_image(f"{key}-image", fusion.image)
            self.store.add_image(f"{key}-measured", fusion.measured[None] / 255.0)
            return fusion
        return Fusion(grey8(measured), image)

    def _known(self, key: str, metrics: Mapping[str, Metric]) -> Values:
        """The stored values that the present code would compute."""
        stored = self.store.values(key)
        known: Values = {}
        for name in metrics:
            entry = stored.get(name)
            if isinstance(entry, dict) and entry.get("code") == self._code(name):
                value, *per_source = (math.nan if v is None else v for v in (entry["value"], *entry["per_source"]))
                known[name] = MetricValue(value, tuple(per_source))
        return known

    def _stored(self, key: str, value: MetricValue) -> dict[str, Any]:
        number = None if math.isnan(value.value) else value.value
        per_source = [None if math.isnan(v) else v for v in value.per_source]
        return {"code": self._code(key), "value": number, "per_source": per_source}

    def _code(self, metric: str) -> str:
        """Hash of the code that computes a metric."""
        if metric not in self._codes:
            found = self.file.registry.component_class("metric", metric)
            modules = [base.__module__ for base in inspect.getmro(found) if base.__module__ not in ("builtins", "abc")]
            self._codes[metric] = code_digest([*SCORING, *modules])
        return self._codes[metric]

    def spread(self, name: str, count: int | None) -> list[int]:
        """Indices of scenes spread over a dataset, because consecutive frames of a recording are nearly the same."""
        scenes = self.scenes(name)
        return spread_over(len(scenes), len(scenes) if count is None else count)


def _scores(metrics: Mapping[str, Metric], fused: Sequence[Fusion], reference: Sample) -> list[Values]:
    """The values of several methods on one scene; only metrics of colour see the fused colours."""
    scored: list[Values] = [{} for _ in fused]
    for colour in (False, True):
        chosen = {key: metric for key, metric in metrics.items() if metric.colour == colour}
        if not chosen:
            continue
        images = [fusion.image if colour else fusion.measured for fusion in fused]
        for values, found in zip(scored, score(chosen, images, reference.images, reference.ideal), strict=True):
            values.update(found)
    return scored
