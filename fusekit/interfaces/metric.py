"""The metric: a number that rates a fused image, and the definition (dialect) by which it was computed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusekit.interfaces.component import Component


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
    """Scores one fused image against its sources. Stateless: results never depend on a batch.

    Attributes:
        name: Name that tables print.
        dialect: Which of the incompatible definitions in the literature this is.
        higher_is_better: Whether a higher value is better.
        unit: Unit of the value, or empty.
        minimum_size: Shortest image side for which the metric is defined, in pixels.
    """

    name: ClassVar[str]
    dialect: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    unit: ClassVar[str] = ""
    minimum_size: ClassVar[int] = 1

    @abstractmethod
    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Computes the metric.

        Args:
            fused: (H, W) uint8 grey image.
            sources: N ≥ 1 grey images of the same size and type.
        """

    def __call__(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Checks the images, then computes the metric.

        Raises:
            ValueError: An image is not (H, W) uint8, or sizes differ, or there is no source.
        """
        if not sources:
            raise ValueError(f"{self.name}: no source image")
        for what, image in [("fused", fused), *((f"source {i}", s) for i, s in enumerate(sources))]:
            self._check(what, image, fused)
        if min(fused.shape) < self.minimum_size:
            return MetricValue(math.nan)
        return self.measure(fused, sources)

    def _check(self, what: str, image: Tensor, fused: Tensor) -> None:
        if image.dtype != torch.uint8 or image.ndim != 2:
            raise ValueError(f"{self.name}: {what} must be (H, W) uint8, got {tuple(image.shape)} {image.dtype}")
        if image.shape != fused.shape:
            raise ValueError(f"{self.name}: {what} is {tuple(image.shape)}, the fused image {tuple(fused.shape)}")


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
        return undefined if min(fused.shape) < self.minimum_size else MetricValue(self.compare(fused, ideal))
