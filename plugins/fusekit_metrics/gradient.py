"""Metrics of gradients: SF, AG, EI and Qabf."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue
from fusekit_metrics.filtering import exact_sqrt, sobel


def spatial_frequency(image: Tensor) -> float:
    """SF of a ``(H, W)`` uint8 image, in grey levels: see `SpatialFrequency`."""
    levels = image.to(torch.float64)
    return float(torch.sqrt(levels.diff(dim=1).square().mean() + levels.diff(dim=0).square().mean()))


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
        vertical, horizontal = torch.gradient(fused.to(torch.float64))
        lengths = torch.sqrt((horizontal.square() + vertical.square()) / 2.0)
        return MetricValue(float(lengths.sum()) / self.count(*fused.shape))

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
        horizontal, vertical = sobel(fused)
        return MetricValue(float(torch.sqrt(horizontal.square() + vertical.square()).mean()))


def edge_strength_and_angle(horizontal: Tensor, vertical: Tensor) -> tuple[Tensor, Tensor]:
    """Strength ``sqrt(gx^2 + gy^2)`` and angle ``atan(gy / gx)``, pi/2 if gx = 0, of Sobel responses."""
    upright = horizontal == 0.0
    slope = vertical / torch.where(upright, torch.ones_like(horizontal), horizontal)
    angle = torch.where(upright, torch.full_like(slope, math.pi / 2.0), torch.atan(slope))
    return exact_sqrt(horizontal.square() + vertical.square()), angle


def strength_ratio(source: Tensor, fused: Tensor) -> Tensor:
    """Relative edge strength ``min / max`` per pixel, 1 where both are 0."""
    weaker, stronger = torch.minimum(source, fused), torch.maximum(source, fused)
    return torch.where(stronger == 0.0, torch.ones_like(weaker), weaker / stronger)


def edge_preservation(ratio: Tensor, source_angle: Tensor, fused_angle: Tensor) -> Tensor:
    """Preservation of the edges of a source, per pixel, from the relative strength and the angles of both images."""
    # The difference is not wrapped, as published: angles are in (-pi/2, pi/2], so this approaches -1 for two nearly
    # vertical edges that lean to different sides.
    orientation = 1.0 - (source_angle - fused_angle).abs() / (math.pi / 2.0)
    kept_strength = 0.9994 * torch.sigmoid(15.0 * (ratio - 0.5))
    kept_orientation = 0.9879 * torch.sigmoid(22.0 * (orientation - 0.8))
    return kept_strength * kept_orientation


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
        return edge_strength_and_angle(*sobel(image))

    def ratio(self, source: Tensor, fused: Tensor) -> Tensor:
        """Relative strength of the edges of a source and of the fused image."""
        return strength_ratio(source, fused)

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the preservation of edges of each source, and of all sources weighted by edge strength."""
        fused_strength, fused_angle = self.edges(fused)
        kept: list[float] = []
        weights: list[float] = []
        for source in sources:
            strength, angle = self.edges(source)
            preserved = edge_preservation(self.ratio(strength, fused_strength), angle, fused_angle)
            kept.append(float((preserved * strength).sum()))
            weights.append(float(strength.sum()))
        per_source = tuple(_share(part, weight) for part, weight in zip(kept, weights, strict=True))
        return MetricValue(_share(sum(kept), sum(weights)), per_source)


def _share(part: float, total: float) -> float:
    return part / total if total > 0.0 else math.nan
