"""Scores the results of several methods for the same sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue, ReferenceMetric


def score(
    metrics: Mapping[str, Metric], fused: Sequence[Tensor], sources: Sequence[Tensor], ideal: Tensor | None
) -> list[dict[str, MetricValue]]:
    """Placeholder until the helper's version is merged."""
    return [
        {
            key: metric(image, sources, ideal) if isinstance(metric, ReferenceMetric) else metric(image, sources)
            for key, metric in metrics.items()
        }
        for image in fused
    ]
