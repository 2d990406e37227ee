"""Scoring of scenes: all metrics of the results of several methods, sharing what depends on the sources only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

import torch
from torch import Tensor

from fusekit.evaluation.grey import colour8, grey8
from fusekit.interfaces.metric import Metric, MetricValue, ReferenceMetric, sharing

T = TypeVar("T")
U = TypeVar("U")

Scene = tuple[Sequence[Tensor], Sequence[Tensor], "Tensor | None"]
"""The fused image of each method, the sources, and the ideal, as `score` takes them."""


def score(
    metrics: Mapping[str, Metric],
    fused: Iterable[Tensor],
    sources: Sequence[Tensor],
    ideal: Tensor | None = None,
    threads: int | None = None,
) -> list[dict[str, MetricValue]]:
    """Scores the results of several methods against the same sources.

    What metrics compute from sources alone with `fusekit.interfaces.shared` functions is computed once for all methods,
    and what they compute from a fused image, once for all metrics. The values are those of single calls of the metrics.

    Args:
        metrics: Metrics by component name. A metric with ``colour`` gets 8-bit images of three channels (`colour8`),
            the others 8-bit grey images (`grey8`).
        fused: Result of each method: (H, W), or (1 or 3, H, W); uint8, or floating point in [0, 1]; on any device.
        sources: Source images of the same size and device.
        ideal: The ideal fused image, if it is known; without it, metrics that compare with it are NaN.
        threads: Metrics at a time (default: the number of threads of torch on a CPU, else 1).

    Returns:
        For each method, the values by component name.

    Raises:
        ValueError: Images differ in size, or do not have one of these shapes and types.
    """
    return list(score_each(metrics, fused, sources, ideal, threads))


def score_each(
    metrics: Mapping[str, Metric],
    fused: Iterable[Tensor],
    sources: Sequence[Tensor],
    ideal: Tensor | None = None,
    threads: int | None = None,
) -> Iterator[dict[str, MetricValue]]:
    """As `score`, one method at a time, so that results can be made while they are scored."""
    convert = {metric.colour: colour8 if metric.colour else grey8 for metric in metrics.values()}
    given = {colour: [to_8(source) for source in sources] for colour, to_8 in convert.items()}
    ideals = {colour: None if ideal is None else to_8(ideal) for colour, to_8 in convert.items()}
    lasting = [image for colour in convert for image in (*given[colour], ideals[colour]) if image is not None]
    on_cpu = all(source.device.type == "cpu" for source in sources)
    kept: dict[Any, Any] = {}
    for result in fused:
        images = {colour: to_8(result) for colour, to_8 in convert.items()}

        def value(metric: Metric, images: Mapping[bool, Tensor] = images) -> MetricValue:
            known = (images[metric.colour], given[metric.colour])
            return metric(*known, ideals[metric.colour]) if isinstance(metric, ReferenceMetric) else metric(*known)

        # The blocks end before control returns to the caller, whose own calls they must not affect.
        with sharing(lasting, kept), sharing(images.values()):
            found = _in_threads(value, list(metrics.values()), threads or (torch.get_num_threads() if on_cpu else 1))
        yield dict(zip(metrics, found, strict=True))


def score_scenes(
    metrics: Mapping[str, Metric], scenes: Iterable[Scene], threads: int | None = None
) -> list[list[dict[str, MetricValue]]]:
    """Scores several scenes at a time, each in one thread; the values are those of `score`.

    Args:
        metrics: Metrics by component name.
        scenes: For each scene the fused images, the sources and the ideal or None, as for `score`.
        threads: Scenes at a time (default: the number of threads of torch).

    Returns:
        For each scene, what `score` returns.
    """
    return _in_threads(
        lambda scene: score(metrics, *scene, threads=1), list(scenes), threads or torch.get_num_threads()
    )


def _in_threads(function: Callable[[T], U], arguments: Sequence[T], threads: int) -> list[U]:
    """Calls a function for every argument, in several threads; in each of them, torch uses one thread on a CPU.

    Metrics are many short operations. Starting and joining threads for each operation takes longer than it saves, and
    much longer while other programs run.
    """
    before = torch.get_num_threads()
    try:
        if min(threads, len(arguments)) < 2:
            torch.set_num_threads(1)
            return [function(argument) for argument in arguments]
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            # A copy of the context for each call: blocks of `sharing` belong to a thread.
            futures = [pool.submit(copy_context().run, function, argument) for argument in arguments]
            return [future.result() for future in futures]
    finally:
        torch.set_num_threads(before)  # the setting of a thread is that of threads that start later
