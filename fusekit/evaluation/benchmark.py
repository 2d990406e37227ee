"""The benchmark: scores every method on every scene with every metric, and returns plain data."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fusekit.evaluation.confusion import Confusion
from fusekit.evaluation.grey import grey8
from fusekit.evaluation.scoring import score_each
from fusekit.interfaces.metric import Metric
from fusekit.interfaces.task import SegmentationNetwork
from fusekit.plugin.registry import registry

FROZEN_PROTOCOL = (
    "Frozen: a single network, the one trained in this run, segments the luminance of every method's result. "
    "One confusion matrix is computed over all scenes; the mean leaves out classes that occur neither in the label "
    "nor in the prediction."
)


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Args:
        name: Printed name, unique in the table.
        is_model: Whether the method is the model of the run.
    """

    name: str
    is_model: bool = False


@dataclass
class Scores:
    """Scores of one method, image by image.

    Attributes:
        method: The method.
        values: Metric name → one value per image.
        per_source: Metric name → one tuple per image.
        confusion: Confusion matrix of the task network on this method's results.
    """

    method: Method
    values: dict[str, list[float]] = field(default_factory=dict)
    per_source: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    confusion: Confusion | None = None


class Benchmark:
    """Scores methods scene by scene.

    Args:
        methods: Rows of the table, in order.
        metrics: Metrics by component name, such as ``strict.qabf``.
        task: Network of the frozen protocol, in evaluation mode, or None.
        device: Device of the task network.

    Raises:
        ValueError: Two methods have the same name, so that their rows could not be distinguished.
    """

    def __init__(
        self,
        methods: Sequence[Method],
        metrics: Mapping[str, Metric],
        task: SegmentationNetwork | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        names = [method.name for method in methods]
        if len(set(names)) < len(names):
            raise ValueError(f"several methods have the same name: {', '.join(names)}")
        self.metrics = dict(metrics)
        self.task = task
        self.device = device
        self.ids: list[str] = []
        self.scores = [Scores(method) for method in methods]

    def add_scene(
        self,
        scene: str,
        sources: Sequence[Tensor],
        label: Tensor | None,
        results: Iterable[Tensor],
        ideal: Tensor | None = None,
    ) -> None:
        """Measures all methods on a scene.

        Args:
            scene: Identifier of the scene.
            sources: Source images, (1 or 3, H, W) float in [0, 1].
            label: Label map (H, W) int64, or None.
            results: Fused luminance or colour image of each method, in order, (1 or 3, H, W) in [0, 1].
            ideal: The ideal fused image, (1 or 3, H, W) float in [0, 1], or None if it is not known; metrics that
                compare with it are then undefined on this scene.

        Raises:
            ValueError: The number of results differs from the number of methods.
        """
        self.ids.append(scene)
        first, second = itertools.tee(results)
        for scores, result, values in zip(
            self.scores, first, score_each(self.metrics, second, sources, ideal), strict=True
        ):
            for key, measured in values.items():
                scores.values.setdefault(key, []).append(measured.value)
                scores.per_source.setdefault(key, []).append(measured.per_source)
            if self.task is not None and label is not None:
                if scores.confusion is None:
                    scores.confusion = Confusion(len(self.task.classes), self.task.ignored)
                scores.confusion.add(self._predict(grey8(result)), label)

    def _predict(self, grey: Tensor) -> Tensor:
        assert self.task is not None
        image = grey[None, None].to(self.device).float() / 255.0
        with torch.no_grad():
            return self.task.predict(self.task(image))[0].cpu()

    def to_plain(self) -> dict[str, Any]:
        """All numbers as plain data for JSON; NaN is None.

        The ``version`` of a metric is that of the distribution whose plugin declares it, None for a local file.
        """
        return {
            "scenes": self.ids,
            "metrics": {
                key: {
                    "name": metric.name,
                    "dialect": metric.dialect,
                    "version": _version(key),
                    "unit": metric.unit,
                    "higher_is_better": metric.higher_is_better,
                    "explanation": (type(metric).__doc__ or "").strip().split("\n\n")[0].replace("\n", " "),
                }
                for key, metric in self.metrics.items()
            },
            "methods": [self._method(scores) for scores in self.scores],
            "task": self._task(),
        }

    def _method(self, scores: Scores) -> dict[str, Any]:
        return {
            "name": scores.method.name,
            "is_model": scores.method.is_model,
            "mean": {key: _plain(mean(values)) for key, values in scores.values.items()},
            "undefined": {
                key: count for key, values in scores.values.items() if (count := sum(math.isnan(v) for v in values))
            },
            "per_source": {
                key: [_plain(mean(column)) for column in zip(*rows, strict=True)]
                for key, rows in scores.per_source.items()
                if rows and all(rows)
            },
            "per_image": {key: [_plain(v) for v in values] for key, values in scores.values.items()},
        }

    def _task(self) -> dict[str, Any] | None:
        rows = [s for s in self.scores if s.confusion is not None]
        if self.task is None or not rows:
            return None
        return {
            "protocol": FROZEN_PROTOCOL,
            "classes": self.task.classes.to_plain(),
            "ignored": sorted(self.task.ignored),
            "rows": [
                {
                    "input": s.method.name,
                    "is_model": s.method.is_model,
                    "mean_iou": _plain(s.confusion.mean_iou()),
                    "iou": [_plain(v) for v in s.confusion.iou().tolist()],
                }
                for s in rows
                if s.confusion is not None
            ],
        }


def _version(metric: str) -> str | None:
    """Version of the distribution whose plugin declares a metric; None for a local file or an unknown component."""
    declared = ((report.version, spec) for report in registry().reports for spec in report.components)
    return next((version for version, spec in declared if (spec.kind, spec.name) == ("metric", metric)), None) or None


def mean(values: Sequence[float]) -> float:
    """Mean of the defined values; NaN if there are none."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value


def restored(value: float | None) -> float:
    """The value as a float, with NaN for None; the inverse of how NaN is written to plain data."""
    return math.nan if value is None else value
