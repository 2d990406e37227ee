"""The dialects `tang` and `tang-2022`: Linfeng Tang's MATLAB programs, where they differ from `strict`.

Source: the behaviour of Evaluation-for-Image-Fusion. `tang-2022` is that of its programs before March 2023, which made
the published spreadsheets: SD and VIF run in 8-bit integer arithmetic that saturates at 0 and 255, and SF and Qabf take
images in [0, 1]. `tang` is that of the later programs, which take floating point images with values to 255.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fusekit.interfaces.metric import MetricValue, shared
from fusekit_metrics import artefacts, cddfuse, error, gradient, information, multiscale, statistics, structure
from fusekit_metrics.filtering import levels, sobel

DIALECT = "tang"
DIALECT_2022 = "tang-2022"
_WINDOW_TO_THE_BORDER = structure.Window(structure.SSIM_WINDOW.taps, border="replicate")


class Entropy(information.Entropy):
    """EN, the entropy of the fused image in bits, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class StandardDeviation(statistics.StandardDeviation):
    """SD, the population standard deviation of the fused image, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class SpatialFrequency(gradient.SpatialFrequency):
    """SF, the spatial frequency of the fused image in grey levels, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class AverageGradient(gradient.AverageGradient):
    """AG, the sum of the gradients of ``strict`` divided by (M - 1)(N - 1), not by the number of pixels M N."""

    dialect: ClassVar[str] = DIALECT

    def count(self, height: int, width: int) -> int:
        """Divisor of the sum of the gradients: (M - 1)(N - 1)."""
        return (height - 1) * (width - 1)


class MutualInformation(information.MutualInformation):
    """MI, ``sum_i H(S_i) + H(F) - H(S_i, F)`` in bits, where only the **joint** histogram merges levels 254 and 255.

    The index of a level in the joint histogram is the level plus 1 in 8-bit arithmetic, which saturates at 255.
    """

    dialect: ClassVar[str] = DIALECT

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the mutual information with one source."""
        joint = information.joint_entropy(source.clamp(max=254), fused.clamp(max=254))
        return information.entropy(source) + information.entropy(fused) - joint


class MeanSquaredError(error.MeanSquaredError):
    """MSE, the mean over the sources of the squared error of images in **[0, 1]**; lower is better."""

    dialect: ClassVar[str] = DIALECT

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the squared error against one source."""
        return super().compare(source, fused) / 255.0**2


class SignalToNoise(error.SignalToNoise):
    """PSNR as ``10 log10(255^2 / MSE)`` with the MSE of images in **[0, 1]**, which adds 48.13 dB; in dB.

    It is NaN if the error is 0.
    """

    dialect: ClassVar[str] = DIALECT

    def error(self, source: Tensor, fused: Tensor) -> float:
        """Squared error against one source, of images in [0, 1]."""
        return super().error(source, fused) / 255.0**2

    def ratio(self, error_: float, fused: Tensor) -> float:
        """Ratio in dB that belongs to an error."""
        return error.decibels(255.0, error_)


class CorrelationCoefficient(statistics.CorrelationCoefficient):
    """CC, the mean over the sources of the correlation with the fused image, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class SumOfCorrelationsOfDifferences(statistics.SumOfCorrelationsOfDifferences):
    """SCD, the sum of the correlations of differences, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class VisualInformationFidelity(structure.VisualInformationFidelity):
    """VIF in the pixel domain, summed over the sources, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class EdgePreservation(cddfuse.EdgePreservation):
    """Qabf with a border of zeros, and with G = g where source and fused image both have g, as in ``cddfuse``."""

    dialect: ClassVar[str] = DIALECT


class StructuralSimilarity(structure.StructuralSimilarity):
    """SSIM, **averaged** over the sources, at every pixel on a replicated border, with **L = 1** in the constants.

    L = 1 is the default of MATLAB's ``ssim`` for floating point images, although their values go to 255.
    """

    dialect: ClassVar[str] = DIALECT
    over_sources: ClassVar[Literal["sum", "mean"]] = "mean"
    minimum_size: ClassVar[int] = 1

    def similarity(self, source: Tensor, fused: Tensor) -> Tensor:
        """SSIM with one source at every position of the window."""
        return structure.ssim_map(source, fused, _WINDOW_TO_THE_BORDER, data_range=1.0)


class ExposureSimilarity(multiscale.ExposureSimilarity):
    """MEF-SSIM as in ``strict``; the program calls it MS-SSIM."""

    dialect: ClassVar[str] = DIALECT


class FusionArtefacts(artefacts.FusionArtefacts):
    """Nabf, the weighted share of edges in the fused image that no source has, as in ``strict``; lower is better."""

    dialect: ClassVar[str] = DIALECT


class Entropy2022(Entropy):
    """EN, the entropy of the fused image in bits, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT_2022


class StandardDeviation2022(StandardDeviation):
    """SD in 8-bit arithmetic that saturates: differences in 0..255, squares at most 255, so SD is **at most 15.97**."""

    dialect: ClassVar[str] = DIALECT_2022

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the fused image; the sources are not used."""
        levels = fused.to(torch.float64)
        # MATLAB rounds halves away from zero; differences below 0 become 0.
        differences = torch.floor(levels - levels.mean() + 0.5).clamp_(0.0, 255.0)
        return MetricValue(float(differences.square().clamp_(max=255.0).mean().sqrt()))


class SpatialFrequency2022(SpatialFrequency):
    """SF of the fused image in [0, 1]: that of ``strict`` divided by 255."""

    dialect: ClassVar[str] = DIALECT_2022

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the fused image; the sources are not used."""
        return MetricValue(gradient.spatial_frequency(fused) / 255.0)


class AverageGradient2022(AverageGradient):
    """AG, the sum of the gradients of ``strict`` divided by (M - 1)(N - 1), not by the number of pixels M N."""

    dialect: ClassVar[str] = DIALECT_2022


class MutualInformation2022(MutualInformation):
    """MI, ``sum_i H(S_i) + H(F) - H(S_i, F)`` in bits, where only the **joint** histogram merges levels 254 and 255."""

    dialect: ClassVar[str] = DIALECT_2022


class MeanSquaredError2022(MeanSquaredError):
    """MSE, the mean over the sources of the squared error of images in **[0, 1]**; lower is better."""

    dialect: ClassVar[str] = DIALECT_2022


class SignalToNoise2022(SignalToNoise):
    """PSNR as ``10 log10(255^2 / MSE)`` with the MSE of images in **[0, 1]**, which adds 48.13 dB; in dB."""

    dialect: ClassVar[str] = DIALECT_2022


class CorrelationCoefficient2022(CorrelationCoefficient):
    """CC, the mean over the sources of the correlation with the fused image, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT_2022


class SumOfCorrelationsOfDifferences2022(SumOfCorrelationsOfDifferences):
    """SCD, the sum of the correlations of differences, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT_2022


class VisualInformationFidelity2022(VisualInformationFidelity):
    """VIF, summed over the sources, with the products of pixels **cut to 255** at the first scale; else ``strict``."""

    dialect: ClassVar[str] = DIALECT_2022

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the fidelity to one source."""
        return structure.vif(source, fused, highest_product=255.0)


@shared
def _edges_in_unit_range(image: Tensor) -> tuple[Tensor, Tensor]:
    # As `cddfuse.edges_with_zero_border`, but the values are not integers.
    horizontal, vertical = sobel(levels(image) / 255.0, border="constant")
    return gradient.edge_strength_and_angle(-horizontal, vertical)


class EdgePreservation2022(EdgePreservation):
    """Qabf as in ``cddfuse``, of images in [0, 1]; a G = g of equal strengths is then at most 5.7, not 1442.

    Rounding decides which strengths are equal, so the order of the additions in `fusekit_metrics.filtering.sobel`
    matters.
    """

    dialect: ClassVar[str] = DIALECT_2022

    def edges(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Edge strength and angle of an image, each ``(H, W)``."""
        return _edges_in_unit_range(image)
