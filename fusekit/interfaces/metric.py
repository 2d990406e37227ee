"""The metric: a number that rates a fused image, and the definition (dialect) by which it was computed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import Tensor

from fusekit.interfaces.component import Component

F = TypeVar("F", bound=Callable[..., Any])

# The blocks of `sharing` that are active in this thread, outermost first: the images of a block and of those around it
# by id, and the results that are kept until it ends.
_BLOCKS: ContextVar[tuple[tuple[dict[int, Tensor], dict[Any, Any]], ...]] = ContextVar("blocks", default=(({}, {}),))


@contextmanager
def sharing(images: Iterable[Tensor], kept: dict[Any, Any] | None = None) -> Iterator[None]:
    """Keeps the results of `shared` functions of these images until the block ends. Blocks can be nested.

    Args:
        images: Images that do not change within the block. They are recognised by identity.
        kept: Where results are kept; give the same dictionary to a later block of the same images to use them again.
    """
    outer = _BLOCKS.get()
    known = {**outer[-1][0], **{id(image): image for image in images}}
    token = _BLOCKS.set((*outer, (known, {} if kept is None else kept)))
    try:
        yield
    finally:
        _BLOCKS.reset(token)


def shared(function: F) -> F:
    """Decorator: within `sharing`, calls a function of images once for the same arguments.

    Metrics use it for what depends on one image or on one pair, such as edges or a histogram. The result is then shared
    by all metrics, and what depends on the sources alone, by all methods of a scene. Outside of `sharing`, and for
    tensors that are not images of an active block, every call computes, so that values do not depend on it.

    Args:
        function: Function of images, which are passed by position, and of hashable values, with the same result for the
            same arguments. Nobody may change that result.
    """

    @wraps(function)
    def once(*args: Any, **options: Any) -> Any:
        images = {id(a) for a in args if isinstance(a, Tensor)}
        kept = next((found for ids, found in _BLOCKS.get() if images and images <= ids.keys()), dict[Any, Any]())
        key = (function, *(id(a) if isinstance(a, Tensor) else a for a in args), *options.items())
        if key not in kept:
            kept[key] = function(*args, **options)
        return kept[key]

    return cast(F, once)


@dataclass(frozen=True)
class MetricValue:
    """A measured value.

    Attributes:
        value: The metric; NaN if it is undefined for these images.
        per_source: One value per source if the metric is a sum or mean over sources, else empty.
    """

    value: float
    per_source: tuple[float, ...] = ()


class Metric(Component, ABC):
    """Scores one fused image against its sources. Stateless: it may be called from several threads at a time.

    Attributes:
        name: Name that tables print.
        dialect: Which of the incompatible definitions in the literature this is.
        higher_is_better: Whether a higher value is better.
        unit: Unit of the value, or empty.
        minimum_size: Shortest image side for which the metric is defined, in pixels.
        colour: Whether the images are (3, H, W) uint8 RGB instead of (H, W) grey.
    """

    name: ClassVar[str]
    dialect: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    unit: ClassVar[str] = ""
    minimum_size: ClassVar[int] = 1
    colour: ClassVar[bool] = False

    @abstractmethod
    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Computes the metric.

        Args:
            fused: (H, W) uint8 grey image; (3, H, W) uint8 RGB if ``colour``, where grey images have equal channels.
            sources: N ≥ 1 images of the same size and type.
        """

    def map(self, fused: Tensor, sources: Sequence[Tensor]) -> Tensor | None:
        """Quality per pixel, (H, W) float64 in [0, 1], higher is better; None (default) if the metric has no map.

        Args:
            fused: As for `measure`.
            sources: As for `measure`.
        """
        return None

    def __call__(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Checks the images, then computes the metric.

        Raises:
            ValueError: An image has not the shape and dtype that `measure` takes, or there is no source.
        """
        if not sources:
            raise ValueError(f"{self.name}: no source image")
        for what, image in [("fused", fused), *((f"source {i}", s) for i, s in enumerate(sources))]:
            self._check(what, image, fused)
        with sharing((fused, *sources)):
            return self.measure(fused, sources) if min(fused.shape[-2:]) >= self.minimum_size else MetricValue(math.nan)

    def _check(self, what: str, image: Tensor, fused: Tensor) -> None:
        expected = (*((3,) if self.colour else ()), *fused.shape[-2:])
        if image.dtype != torch.uint8 or image.shape != expected:
            raise ValueError(f"{self.name}: {what} is {tuple(image.shape)} {image.dtype}, expected {expected} uint8")


class ReferenceMetric(Metric):
    """Full-reference metric: compares a fused image with the ground truth; undefined if that is not known."""

    @abstractmethod
    def compare(self, fused: Tensor, ideal: Tensor) -> float:
        """Computes the metric.

        Args:
            fused: (H, W) uint8 grey image.
            ideal: Ground-truth fused image of the same size and type.
        """

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Undefined (NaN): the sources alone do not determine the ground truth."""
        return MetricValue(math.nan)

    def __call__(self, fused: Tensor, sources: Sequence[Tensor], ideal: Tensor | None = None) -> MetricValue:
        """Checks the images, then compares the fused image with the ground truth.

        Args:
            fused: (H, W) uint8 grey image.
            sources: N ≥ 1 grey images of the same size and type; not used for the value.
            ideal: Ground-truth fused image, grey, of the same size and type; None if it is not known.

        Raises:
            ValueError: An image is not (H, W) uint8, or sizes differ, or there is no source.
        """
        undefined = super().__call__(fused, sources)
        if ideal is None:
            return undefined
        self._check("ideal", ideal, fused)
        return undefined if min(fused.shape[-2:]) < self.minimum_size else MetricValue(self.compare(fused, ideal))
