"""Metrics of gradients: SF, AG, EI and Qabf."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue, shared
from fusekit_metrics.filtering import bands, exact_sqrt, levels, sobel


def spatial_frequency(image: Tensor) -> float:
    """SF of a ``(H, W)`` uint8 image, in grey levels: see `SpatialFrequency`."""
    differences = (levels(image).diff(dim=1).flatten(), levels(image).diff(dim=0).flatten())
    return math.sqrt(sum(float(torch.dot(d, d)) / d.numel() for d in differences))


class SpatialFrequency(Metric):
    """SF, the spatial frequency (activity) of the fused image: ``sqrt(RF^2 + CF^2)``, in grey levels.

    ``RF^2`` is the mean square of the M (N - 1) horizontal differences of adjacent pixels, ``CF^2`` that of the
    (M - 1) N vertical ones. NaN if a side is shorter than 2 pixels.

    Source: Eskicioglu, Fisher, "Image quality measures and their performance", IEEE Transactions on
    Communications 43 (12), 1995.
    """

    name: ClassVar[str] = "SF"
    dialect: ClassVar[str] = "strict"
    minimum_size: ClassVar[int] = 2

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the fused image; the sources are not used."""
        return MetricValue(spatial_frequency(fused))


@shared
def sum_of_gradients(image: Tensor) -> float:
    """Sum over the pixels of ``sqrt((gx^2 + gy^2) / 2)`` of a ``(H, W)`` uint8 image: see `AverageGradient`."""
    values = levels(image)
    height, width = values.shape
    total = 0.0
    for rows in bands(height, width, image.device):
        first, last = max(rows.start - 1, 0), min(rows.stop + 1, height)
        vertical, horizontal = torch.gradient(values[first:last])
        inner = slice(rows.start - first, rows.stop - first)
        squares = horizontal[inner].square_().addcmul_(vertical[inner], vertical[inner])
        total += float(exact_sqrt(squares.mul_(0.5)).sum())
    return total


class AverageGradient(Metric):
    """AG, the mean of ``sqrt((gx^2 + gy^2) / 2)`` over all pixels of the fused image, in grey levels.

    ``gx`` and ``gy`` are central differences in the interior and one-sided differences at the borders. NaN if a side is
    shorter than 2 pixels.

    Source: Cui, Feng, Xu, Li, Chen, "Detail preserved fusion of visible and infrared images using regional
    saliency extraction and multi-scale image decomposition", Optics Communications 341, 2015.
    """

    name: ClassVar[str] = "AG"
    dialect: ClassVar[str] = "strict"
    minimum_size: ClassVar[int] = 2

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the fused image; the sources are not used."""
        return MetricValue(sum_of_gradients(fused) / self.count(*fused.shape))

    def count(self, height: int, width: int) -> int:
        """Divisor of the sum of the gradients: the number of pixels."""
        return height * width


class EdgeIntensity(Metric):
    """EI, the mean Sobel strength ``sqrt(gx^2 + gy^2)`` of the fused image, on a replicated border, in grey levels.

    Source: Rajalingam, Priya, "Hybrid multimodality medical image fusion technique for feature enhancement in medical
    diagnosis", International Journal of Engineering Science Invention, 2018.
    """

    name: ClassVar[str] = "EI"
    dialect: ClassVar[str] = "strict"

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the fused image; the sources are not used."""
        return MetricValue(float(edges(fused)[0].mean()))


def edge_strength_and_angle(horizontal: Tensor, vertical: Tensor) -> tuple[Tensor, Tensor]:
    """Strength ``sqrt(gx^2 + gy^2)`` and angle ``atan(gy / gx)``, pi/2 if gx = 0, of Sobel responses."""
    strength, angle = torch.empty_like(horizontal), torch.empty_like(horizontal)
    for rows in bands(len(horizontal), horizontal.shape[1], horizontal.device):
        across, down = horizontal[rows], vertical[rows]
        # Arithmetic with a mask of 0 and 1 is exact, and on a CPU several times faster than `torch.where`.
        upright = (across == 0.0).to(torch.float64)
        slope = torch.atan(down / (across + upright))
        angle[rows] = torch.addcmul(slope, slope, upright, value=-1.0).add_(upright, alpha=math.pi / 2.0)
        strength[rows] = exact_sqrt(across.square() + down.square())
    return strength, angle


@shared
def edges(image: Tensor) -> tuple[Tensor, Tensor]:
    """Edge strength and angle of a ``(H, W)`` image on a replicated border."""
    return edge_strength_and_angle(*sobel(image))


def strength_ratio(source: Tensor, fused: Tensor) -> Tensor:
    """Relative edge strength ``min / max`` per pixel, 1 where both are 0."""
    weaker, stronger = torch.minimum(source, fused), torch.maximum(source, fused)
    flat = (stronger == 0.0).to(torch.float64)
    return weaker.add_(flat).div_(stronger.add_(flat))


def edge_preservation(ratio: Tensor, source_angle: Tensor, fused_angle: Tensor) -> Tensor:
    """Preservation of the edges of a source, per pixel, from the relative strength and the angles of both images."""
    # The difference is not wrapped, as published: angles are in (-pi/2, pi/2], so this approaches -1 for two nearly
    # vertical edges that lean to different sides.
    orientation = (source_angle - fused_angle).abs_().mul_(-2.0 / math.pi).add_(1.0)
    kept_strength = (15.0 * (ratio - 0.5)).sigmoid_()
    return orientation.sub_(0.8).mul_(22.0).sigmoid_().mul_(kept_strength).mul_(0.9994 * 0.9879)


class EdgePreservation(Metric):
    """Qabf, the preservation of the sources' edges in the fused image: ``sum_i sum Q_i g_i / sum_i sum g_i``.

    Per pixel, with Sobel strength g and angle a on a replicated border,
    ``Q_i = .9994 / (1 + exp(-15 (G - .5))) * .9879 / (1 + exp(-22 (D - .8)))``, where
    ``G = min(g_i, g_F) / max(g_i, g_F)`` and ``D = 1 - |a_i - a_F| / (pi/2)``.

    At pixels where source and fused image are both flat, G is 0/0; it is set to 1, because equal strengths are
    perfectly preserved everywhere else. This choice cannot change the result: such a pixel has the weight ``g_i = 0``.
    If every source is flat everywhere, the metric is NaN. ``per_source`` contains ``sum Q_i g_i / sum g_i``, the score
    against each single source. With the published constants, identical images score 0.975, not 1.

    Source: Xydeas, Petrovic, "Objective image fusion performance measure", Electronics Letters 36 (4), 2000.
    """

    name: ClassVar[str] = "Qabf"
    dialect: ClassVar[str] = "strict"

    def edges(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Edge strength and angle of an image, each ``(H, W)``."""
        return edges(image)

    def ratio(self, source: Tensor, fused: Tensor) -> Tensor:
        """Relative strength of the edges of a source and of the fused image."""
        return strength_ratio(source, fused)

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the preservation of edges of each source, and of all sources weighted by edge strength."""
        of_fused = self.edges(fused)
        kept: list[float] = []
        weights: list[float] = []
        for source in sources:
            of_source = self.edges(source)
            parts = (
                torch.dot(self._preserved(of_source, of_fused, rows).flatten(), of_source[0][rows].flatten())
                for rows in bands(len(fused), fused.shape[1], fused.device)
            )
            kept.append(math.fsum(map(float, parts)))
            weights.append(float(of_source[0].sum()))
        per_source = tuple(_share(part, weight) for part, weight in zip(kept, weights, strict=True))
        return MetricValue(_share(sum(kept), sum(weights)), per_source)

    def map(self, fused: Tensor, sources: Sequence[Tensor]) -> Tensor:
        """Preservation of the edges of all sources, ``sum_i Q_i g_i / sum_i g_i`` per pixel.

        The mean of the map, weighted with ``sum_i g_i``, is the metric. Where all sources are flat, the map is the mean
        of ``Q_i``.
        """
        of_fused = self.edges(fused)
        of_sources = [self.edges(source) for source in sources]
        quality = torch.stack([self._preserved(of_source, of_fused, slice(None)) for of_source in of_sources])
        weights = torch.stack([strength for strength, _ in of_sources])
        weights = torch.where(weights.sum(dim=0) > 0.0, weights, 1.0)
        return (quality * weights).sum(dim=0) / weights.sum(dim=0)

    def _preserved(self, source: tuple[Tensor, Tensor], fused: tuple[Tensor, Tensor], rows: slice) -> Tensor:
        (strength, angle), (fused_strength, fused_angle) = source, fused
        return edge_preservation(self.ratio(strength[rows], fused_strength[rows]), angle[rows], fused_angle[rows])


def _share(part: float, total: float) -> float:
    return part / total if total > 0.0 else math.nan
