"""The dialect `zoo`: the programs of IVIF_ZOO, where they differ from `strict`.

Source: the behaviour of the programs in ``Metric`` of RollingPlain/IVIF_ZOO. They compute in float32, this in float64.
Its SSIM and MS-SSIM, whose range depends on the version of the program, and its CE, which is the cross entropy of
sigmoids of grey levels, are not part of the dialect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fusekit.interfaces.metric import MetricValue
from fusekit_metrics import artefacts, cddfuse, gradient, information, statistics, structure, tang

DIALECT = "zoo"


class Entropy(information.Entropy):
    """EN as ``-sum p log2(p + 1e-7)`` over the 256 grey levels, in bits."""

    dialect: ClassVar[str] = DIALECT

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the fused image; the sources are not used."""
        share = information.histogram(fused).to(torch.float64) / fused.numel()
        return MetricValue(float(-(share * torch.log2(share + 1e-7)).sum()))


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
    """MI, the mutual information with the sources, summed, in bits, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class MeanSquaredError(tang.MeanSquaredError):
    """MSE, the mean over the sources of the squared error of images in **[0, 1]**; lower is better."""

    dialect: ClassVar[str] = DIALECT


class SignalToNoise(tang.SignalToNoise):
    """PSNR as ``10 log10(255^2 / MSE)`` with the MSE of images in **[0, 1]**, which adds 48.13 dB; in dB."""

    dialect: ClassVar[str] = DIALECT


class CorrelationCoefficient(statistics.CorrelationCoefficient):
    """CC, the mean over the sources of the correlation with the fused image, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class SumOfCorrelationsOfDifferences(statistics.SumOfCorrelationsOfDifferences):
    """SCD, the sum of the correlations of differences, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


def off_centre_window(size: int) -> structure.Window:
    """The window of VIF sampled from -(size + 1) / 2 to (size - 1) / 2, on an image surrounded by zeros."""
    half = size // 2
    taps = torch.exp(-torch.linspace(-half - 1, half, size, dtype=torch.float64).square() / (2.0 * (size / 5) ** 2))
    return structure.Window(tuple((taps / taps.sum()).tolist()), border="constant")


class VisualInformationFidelity(structure.VisualInformationFidelity):
    """VIF, summed over the sources, with gaussian windows that are **off-centre**, on a border of zeros."""

    dialect: ClassVar[str] = DIALECT
    minimum_size: ClassVar[int] = 1

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the fidelity to one source."""
        return structure.vif(source, fused, window_of=off_centre_window)


class EdgePreservation(cddfuse.EdgePreservation):
    """Qabf with a border of zeros, and with G = g where source and fused image both have g, as in ``cddfuse``."""

    dialect: ClassVar[str] = DIALECT


class FusionArtefacts(artefacts.FusionArtefacts):
    """Nabf with weight 0, not .001, where the edge strength of the source is below 2; lower is better."""

    dialect: ClassVar[str] = DIALECT
    smallest_weight: ClassVar[float] = 0.0
