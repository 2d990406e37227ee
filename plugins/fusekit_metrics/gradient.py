"""Metrics of gradients: SF, AG, EI and Qabf."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue, shared
from fusekit_metrics.filtering import exact_sqrt, levels, sobel_8

_RESPONSES = 4 * 255 + 1  # absolute values of a Sobel response


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
    values = image.to(torch.int32)
    squares = sum(_double_gradient(values, dim).square_() for dim in (0, 1))
    assert isinstance(squares, Tensor)
    return float(exact_sqrt(levels(squares) / 8.0).sum())


def _double_gradient(values: Tensor, dim: int) -> Tensor:
    """Twice the central differences of an integer image; twice the one-sided differences at its borders."""
    length = values.shape[dim]
    inner = values.narrow(dim, 2, length - 2) - values.narrow(dim, 0, length - 2)
    first = 2 * (values.narrow(dim, 1, 1) - values.narrow(dim, 0, 1))
    last = 2 * (values.narrow(dim, length - 1, 1) - values.narrow(dim, length - 2, 1))
    return torch.cat((first, inner, last), dim=dim)


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
    # Arithmetic with a mask of 0 and 1 is exact, and on a CPU several times faster than `torch.where`.
    upright = (horizontal == 0.0).to(torch.float64)
    angle = (vertical / (horizontal + upright)).atan_()
    angle.addcmul_(angle, upright, value=-1.0).add_(upright, alpha=math.pi / 2.0)
    return exact_sqrt(horizontal.square().add_(vertical.square())), angle


@cache
def _edge_table(device: torch.device) -> tuple[Tensor, Tensor]:
    """Strength and angle of edges for all absolute values of Sobel responses of 8-bit images, at 1021 gy + gx."""
    values = torch.arange(_RESPONSES, dtype=torch.float64, device=device)
    strength, angle = edge_strength_and_angle(values.expand(_RESPONSES, -1), values[:, None].expand(-1, _RESPONSES))
    return strength.flatten(), angle.flatten()


def edges_8(horizontal: Tensor, vertical: Tensor) -> tuple[Tensor, Tensor]:
    """As `edge_strength_and_angle`, of int16 responses of an 8-bit image: the same values, from a table."""
    index = vertical.abs().to(torch.int32).mul_(_RESPONSES).add_(horizontal.abs().to(torch.int32)).flatten()
    strength, angle = (
        values.index_select(0, index).view(horizontal.shape) for values in _edge_table(horizontal.device)
    )
    falling = (horizontal ^ vertical < 0) & (horizontal != 0)
    return strength, angle.mul_(1.0 - 2.0 * falling.to(torch.float64))


@shared
def edges(image: Tensor) -> tuple[Tensor, Tensor]:
    """Edge strength and angle of a ``(H, W)`` uint8 image on a replicated border."""
    return edges_8(*sobel_8(image))


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
            kept.append(float(torch.dot(self._preserved(of_source, of_fused).flatten(), of_source[0].flatten())))
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
        quality = torch.stack([self._preserved(of_source, of_fused) for of_source in of_sources])
        weights = torch.stack([strength for strength, _ in of_sources])
        weights = torch.where(weights.sum(dim=0) > 0.0, weights, 1.0)
        return (quality * weights).sum(dim=0) / weights.sum(dim=0)

    def _preserved(self, source: tuple[Tensor, Tensor], fused: tuple[Tensor, Tensor]) -> Tensor:
        (strength, angle), (fused_strength, fused_angle) = source, fused
        return edge_preservation(self.ratio(strength, fused_strength), angle, fused_angle)


def _share(part: float, total: float) -> float:
    return part / total if total > 0.0 else math.nan
