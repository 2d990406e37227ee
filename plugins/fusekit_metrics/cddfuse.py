"""The dialect `cddfuse`: the evaluator that many papers since CDDFuse use, where it differs from `strict`.

Source: the behaviour of ``utils/Evaluator.py`` of MMIF-CDDFuse (fd8da1f39d8d). That program replaces an undefined VIF
by 1 and returns infinity as a PSNR; here both are NaN, as in every dialect.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from fusekit.interfaces.metric import shared
from fusekit_metrics import error, gradient, information, statistics, structure
from fusekit_metrics.filtering import sobel_8

DIALECT = "cddfuse"
_WINDOW = structure.uniform_window(7)


class Entropy(information.Entropy):
    """EN, the entropy of the fused image in bits, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class StandardDeviation(statistics.StandardDeviation):
    """SD, the population standard deviation of the fused image, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class SpatialFrequency(gradient.SpatialFrequency):
    """SF, the spatial frequency of the fused image, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class AverageGradient(gradient.AverageGradient):
    """AG, the average gradient of the fused image, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class MutualInformation(information.MutualInformation):
    """MI, the mutual information with the sources, summed, in nats: 0.6931 times that of ``strict``."""

    dialect: ClassVar[str] = DIALECT
    unit: ClassVar[str] = "nats"

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the mutual information with one source, in nats."""
        return super().compare(source, fused) * math.log(2.0)


class MeanSquaredError(error.MeanSquaredError):
    """MSE, the mean over the sources of the squared error, in squared grey levels, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class CorrelationCoefficient(statistics.CorrelationCoefficient):
    """CC, the mean over the sources of the correlation with the fused image, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class SignalToNoise(error.SignalToNoise):
    """PSNR with the **maximum of the fused image** as the peak: ``10 log10(max(F)^2 / MSE)``, in dB.

    It is NaN for a black fused image, and if the error is 0.
    """

    dialect: ClassVar[str] = DIALECT

    def ratio(self, error_: float, fused: Tensor) -> float:
        """Ratio in dB that belongs to an error."""
        return error.decibels(float(fused.max()), error_)


class SumOfCorrelationsOfDifferences(statistics.SumOfCorrelationsOfDifferences):
    """SCD, the sum of the correlations of differences, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class VisualInformationFidelity(structure.VisualInformationFidelity):
    """VIF in the pixel domain, summed over the sources, as in ``strict``; the evaluator calls it VIFF."""

    dialect: ClassVar[str] = DIALECT


@shared
def edges_with_zero_border(image: Tensor) -> tuple[Tensor, Tensor]:
    """Edge strength and angle of a ``(H, W)`` uint8 image that is surrounded by zeros.

    The sign of the horizontal response is that of a convolution, which flips the kernel. It matters where one of two
    images has no horizontal response, because the angle is then pi/2, not -pi/2.
    """
    horizontal, vertical = sobel_8(image, border="constant")
    return gradient.edges_8(-horizontal, vertical)


def strength_ratio(source: Tensor, fused: Tensor) -> Tensor:
    """Relative edge strength ``min / max``; where both strengths are equal, it is the strength itself."""
    equal = (source == fused).to(torch.float64)
    return gradient.strength_ratio(source, fused).mul_(1.0 - equal).addcmul_(equal, fused)


class EdgePreservation(gradient.EdgePreservation):
    """Qabf with a border of zeros, whose false edges count, and with G = g where source and fused image both have g.

    Constants, angles and weights are those of ``strict``.
    """

    dialect: ClassVar[str] = DIALECT

    def edges(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Edge strength and angle of an image, each ``(H, W)``."""
        return edges_with_zero_border(image)

    def ratio(self, source: Tensor, fused: Tensor) -> Tensor:
        """Relative strength of the edges of a source and of the fused image."""
        return strength_ratio(source, fused)


class StructuralSimilarity(structure.StructuralSimilarity):
    """SSIM, summed over the sources, with a uniform window of 7 x 7, sample moments and **L = 2** in the constants.

    L = 2 is the default of the evaluator's version of scikit-image for floating point images, although their values go
    to 255. Current versions refuse to guess.
    """

    dialect: ClassVar[str] = DIALECT
    minimum_size: ClassVar[int] = 7

    def similarity(self, source: Tensor, fused: Tensor) -> Tensor:
        """SSIM with one source at every position of the window."""
        return structure.ssim_map(source, fused, _WINDOW, data_range=2.0, unbiased=49.0 / 48.0)
