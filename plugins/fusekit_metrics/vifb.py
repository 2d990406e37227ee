"""The dialect `vifb`: the MATLAB programs of the benchmark VIFB, where they differ from `strict`.

Source: the behaviour of the programs in ``metrics`` of xingchenzhang/VIFB. They measure every channel of a colour image
and average; here the images are grey, so the values are those of VIFB for grey images. VIFB also reads fused images
from JPEG files, which changes the values, and which is not imitated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fusekit.interfaces.metric import MetricValue
from fusekit_metrics import cddfuse, error, gradient, information, perception, statistics, structure, tang
from fusekit_metrics.pairwise import PairwiseMetric

DIALECT = "vifb"


class Entropy(information.Entropy):
    """EN, the entropy of the fused image in bits, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class StandardDeviation(statistics.StandardDeviation):
    """SD, the population standard deviation of the fused image, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class SpatialFrequency(gradient.SpatialFrequency):
    """SF with the squared differences divided by the number of pixels M N, not by the number of differences."""

    dialect: ClassVar[str] = DIALECT

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the fused image; the sources are not used."""
        levels = fused.to(torch.float64)
        squares = levels.diff(dim=0).square().sum() + levels.diff(dim=1).square().sum()
        return MetricValue(math.sqrt(float(squares) / fused.numel()))


class AverageGradient(tang.AverageGradient):
    """AG, the sum of the gradients of ``strict`` divided by (M - 1)(N - 1), as in ``tang``."""

    dialect: ClassVar[str] = DIALECT


class EdgeIntensity(gradient.EdgeIntensity):
    """EI, the mean Sobel strength of the fused image, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class MutualInformation(information.MutualInformation):
    """MI, summed over the sources, in **nats**, of images that are each stretched to 0..255 and rounded."""

    dialect: ClassVar[str] = DIALECT
    unit: ClassVar[str] = "nats"

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the mutual information with one source, in nats."""
        images = [perception.stretched(image) for image in (source, fused)]
        levels = [torch.zeros_like(fused) if image is None else image.to(torch.uint8) for image in images]
        return super().compare(levels[0], levels[1]) * math.log(2.0)


class CrossEntropy(information.CrossEntropy):
    """CE, the mean over the sources of the cross entropy in bits, as in ``strict``; lower is better."""

    dialect: ClassVar[str] = DIALECT


def root_error(first: Tensor, second: Tensor) -> float:
    """Root of the **sum** of squared errors, divided by the number of pixels."""
    return math.sqrt(error.squared_error(first, second) * first.numel()) / first.numel()


class RootError(PairwiseMetric):
    """RMSE, the mean over the sources of ``sqrt(sum((S_i - F)^2)) / (M N)``, which shrinks with the image size.

    It is not the root of the mean squared error, which is larger by the root of the number of pixels. Lower is better.
    """

    name: ClassVar[str] = "RMSE"
    dialect: ClassVar[str] = DIALECT
    higher_is_better: ClassVar[bool] = False
    over_sources: ClassVar[Literal["sum", "mean"]] = "mean"

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the error against one source."""
        return root_error(source, fused)


class SignalToNoise(tang.SignalToNoise):
    """PSNR as ``10 log10(255^2 / E)`` with the RMSE of this dialect as E, hence about 58 dB; NaN if the error is 0."""

    dialect: ClassVar[str] = DIALECT

    def error(self, source: Tensor, fused: Tensor) -> float:
        """Error against one source, in the form of `RootError`."""
        return root_error(source, fused)


class EdgePreservation(cddfuse.EdgePreservation):
    """Qabf with a border of zeros, and with G = g where source and fused image both have g, as in ``cddfuse``."""

    dialect: ClassVar[str] = DIALECT


class StructuralSimilarity(structure.StructuralSimilarity):
    """SSIM, summed over the sources, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class ContrastPreservation(perception.ContrastPreservation):
    """Qcb, the preservation of local contrast, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class VisibleDifference(perception.VisibleDifference):
    """Qcv, the visible difference from the sources, as in ``strict``; lower is better."""

    dialect: ClassVar[str] = DIALECT
