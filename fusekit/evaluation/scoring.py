"""Scoring of one scene: all metrics of the results of several methods, sharing what depends on the sources only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from fusekit.evaluation.grey import colour8, grey8
from fusekit.interfaces.metric import Metric, MetricValue, ReferenceMetric, sharing


def score(
    metrics: Mapping[str, Metric], fused: Iterable[Tensor], sources: Sequence[Tensor], ideal: Tensor | None = None
) -> list[dict[str, MetricValue]]:
    """Scores the results of several methods against the same sources.

    What metrics compute from sources alone with `fusekit.interfaces.shared` functions is computed once for all methods,
    and what they compute from a fused image, once for all metrics. The values are those of single calls of the metrics.

    Args:
        metrics: Metrics by component name. A metric with ``colour`` gets images of three channels, which are equal
            for grey images; the others get 8-bit grey images (`grey8`).
        fused: Result of each method: (H, W), or (1 or 3, H, W); uint8, or floating point in [0, 1]; on any device.
        sources: Source images of the same size and device.
        ideal: The ideal fused image, if it is known; without it, metrics that compare with it are NaN.

    Returns:
        For each method, the values by component name.

    Raises:
        ValueError: Images differ in size, or do not have one of these shapes and types.
    """
    return list(score_each(metrics, fused, sources, ideal))


def score_each(
    metrics: Mapping[str, Metric], fused: Iterable[Tensor], sources: Sequence[Tensor], ideal: Tensor | None = None
) -> Iterator[dict[str, MetricValue]]:
    """As `score`, one method at a time, so that results can be made while they are scored."""
    convert = {metric.colour: colour8 if metric.colour else grey8 for metric in metrics.values()}
    given = {colour: [to_8(source) for source in sources] for colour, to_8 in convert.items()}
    ideals = {colour: None if ideal is None else to_8(ideal) for colour, to_8 in convert.items()}
    lasting = [image for colour in convert for image in (*given[colour], ideals[colour]) if image is not None]
    kept: dict[Any, Any] = {}
    for result in fused:
        images = {colour: to_8(result) for colour, to_8 in convert.items()}
        # The blocks end before control returns to the caller, whose own blocks they must not surround.
        with sharing(lasting, kept), sharing(images.values()):
            values = {
                key: _measure(metric, images[metric.colour], given[metric.colour], ideals[metric.colour])
                for key, metric in metrics.items()
            }
        yield values


def score_scenes(
    metrics: Mapping[str, Metric],
    scenes: Iterable[tuple[Sequence[Tensor], Sequence[Tensor], Tensor | None]],
    threads: int | None = None,
) -> list[list[dict[str, MetricValue]]]:
    """Scores several scenes in parallel threads.

    Metrics spend most of their time in operations of torch that do not block other threads, so on a CPU two scenes at a
    time are faster than one after the other. The values do not depend on the number of threads.

    Args:
        metrics: Metrics by component name.
        scenes: For each scene the fused images, the sources and the ideal, as for `score`.
        threads: Scenes at a time (default: the number of threads of torch).

    Returns:
        For each scene, what `score` returns.
    """
    with ThreadPoolExecutor(threads or torch.get_num_threads()) as pool:
        return list(pool.map(lambda scene: score(metrics, *scene), scenes))


def _measure(metric: Metric, fused: Tensor, sources: Sequence[Tensor], ideal: Tensor | None) -> MetricValue:
    return metric(fused, sources, ideal) if isinstance(metric, ReferenceMetric) else metric(fused, sources)
