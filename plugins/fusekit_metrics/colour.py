"""Metrics of colour: the deviation of a fused image from the source in colour."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue, shared

# sRGB to CIE XYZ, relative to the white of illuminant D65 and the 2 degree observer (IEC 61966-2-1).
_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)


@shared
def lab(image: Tensor) -> Tensor:
    """CIELAB, ``(3, H, W)`` float64, of a ``(3, H, W)`` uint8 image in sRGB: L* in 0 to 100, a*, b*.

    Source: ISO/CIE 11664-4; sRGB by IEC 61966-2-1, illuminant D65, 2 degree observer.
    """
    levels = torch.arange(256, dtype=torch.float64, device=image.device) / 255.0
    linear = torch.where(levels > 0.04045, ((levels + 0.055) / 1.055).pow(2.4), levels / 12.92)
    matrix = torch.tensor(_TO_XYZ, dtype=torch.float64, device=image.device)
    white = torch.tensor(_WHITE, dtype=torch.float64, device=image.device)
    ratios = (matrix / white[:, None]) @ linear[image.flatten(1).long()]
    curved = torch.where(ratios > 0.008856, ratios.clamp(min=0.008856).pow(1.0 / 3.0), 7.787 * ratios + 16.0 / 116.0)
    x, y, z = curved
    return torch.stack((116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z))).view(image.shape)


def ciede2000(first: Tensor, second: Tensor) -> Tensor:
    """CIEDE2000 of two images in CIELAB, ``(3, ...)`` each; the parametric factors kL, kC, kH are 1.

    Source: Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula: implementation notes, supplementary test data,
    and mathematical observations", Color Research and Application 30 (1), 2005; ISO/CIE 11664-6.
    """
    (light_1, a_1, b_1), (light_2, a_2, b_2) = first, second
    chroma = (torch.hypot(a_1, b_1) + torch.hypot(a_2, b_2)) / 2.0
    scale = 1.5 - 0.5 * torch.sqrt(chroma.pow(7) / (chroma.pow(7) + 25.0**7))
    a_1, a_2 = a_1 * scale, a_2 * scale
    chroma_1, chroma_2 = torch.hypot(a_1, b_1), torch.hypot(a_2, b_2)
    turn = 2.0 * math.pi
    hue_1, hue_2 = torch.atan2(b_1, a_1) % turn, torch.atan2(b_2, a_2) % turn
    grey = chroma_1 * chroma_2 == 0.0
    difference = (hue_2 - hue_1 + math.pi) % turn - math.pi
    # A difference of exactly half a turn keeps its sign: without it the mean hue would be on the other side.
    difference = torch.where((hue_2 - hue_1).abs() <= math.pi, hue_2 - hue_1, difference).masked_fill(grey, 0.0)
    hue = torch.where((hue_1 - hue_2).abs() <= math.pi, (hue_1 + hue_2) / 2.0, ((hue_1 + hue_2 + turn) / 2.0) % turn)
    hue = torch.where(grey, hue_1 + hue_2, hue)
    light, chroma = (light_1 + light_2) / 2.0, (chroma_1 + chroma_2) / 2.0
    weight = (
        1.0
        - 0.17 * torch.cos(hue - math.radians(30.0))
        + 0.24 * torch.cos(2.0 * hue)
        + 0.32 * torch.cos(3.0 * hue + math.radians(6.0))
        - 0.20 * torch.cos(4.0 * hue - math.radians(63.0))
    )
    step = (light - 50.0).square()
    of_light = (light_2 - light_1) / (1.0 + 0.015 * step / torch.sqrt(20.0 + step))
    of_chroma = (chroma_2 - chroma_1) / (1.0 + 0.045 * chroma)
    of_hue = 2.0 * torch.sqrt(chroma_1 * chroma_2) * torch.sin(difference / 2.0) / (1.0 + 0.015 * chroma * weight)
    rotation = math.radians(60.0) * torch.exp(-((torch.rad2deg(hue) - 275.0) / 25.0).square())
    tilt = -2.0 * torch.sqrt(chroma.pow(7) / (chroma.pow(7) + 25.0**7)) * torch.sin(rotation)
    squares = of_light.square() + of_chroma.square() + of_hue.square() + tilt * of_chroma * of_hue
    return torch.sqrt(squares.clamp(min=0.0))


def coloured(image: Tensor) -> bool:
    """Whether the channels of a ``(3, H, W)`` image differ."""
    return not (torch.equal(image[0], image[1]) and torch.equal(image[1], image[2]))


class ColourMetric(Metric):
    """Base class of deviations from the sources in colour, averaged over those sources; lower is better.

    Undefined (NaN) if the fused image is grey, or if no source is in colour. ``per_source`` contains the deviation from
    each source, NaN for grey ones.
    """

    dialect: ClassVar[str] = "strict"
    higher_is_better: ClassVar[bool] = False
    colour: ClassVar[bool] = True

    @abstractmethod
    def deviation(self, fused: Tensor, source: Tensor) -> Tensor:
        """Deviation ``(H, W)`` of two images in CIELAB, each ``(3, H, W)`` float64."""

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the mean deviation from each source in colour, and its mean over them."""
        if not coloured(fused):
            return MetricValue(math.nan, (math.nan,) * len(sources))
        values = tuple(
            float(self.deviation(lab(fused), lab(source)).mean()) if coloured(source) else math.nan
            for source in sources
        )
        defined = [value for value in values if not math.isnan(value)]
        return MetricValue(math.fsum(defined) / len(defined) if defined else math.nan, values)


class ColourDifference(ColourMetric):
    """CIEDE2000, the mean colour difference of the fused image and the source in colour; lower is better.

    It counts lightness too, which a fusion changes on purpose; `ChromaDeviation` does not. Undefined (NaN) if the fused
    image or all sources are grey; with several sources in colour, the mean over them.

    Source: Sharma, Wu, Dalal (2005), see `ciede2000`; images are in sRGB.
    """

    name: ClassVar[str] = "CIEDE2000"

    def deviation(self, fused: Tensor, source: Tensor) -> Tensor:
        """Difference per pixel."""
        return ciede2000(source, fused)


class ChromaDeviation(ColourMetric):
    """Chroma deviation, the mean distance in a*, b* of the fused image and the source in colour; lower is better.

    ``mean sqrt((a_F - a_S)^2 + (b_F - b_S)^2)``, the colour difference of CIELAB (1976) without lightness. 0 means that
    hue and chroma are those of the source. Undefined (NaN) if the fused image or all sources are grey; with
    several sources in colour, the mean over them.

    Source: ISO/CIE 11664-4; images are in sRGB.
    """

    name: ClassVar[str] = "Chroma"

    def deviation(self, fused: Tensor, source: Tensor) -> Tensor:
        """Distance per pixel."""
        return torch.hypot(fused[1] - source[1], fused[2] - source[2])
