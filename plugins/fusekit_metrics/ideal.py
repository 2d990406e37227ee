"""Metrics against the known ideal: PSNR and SSIM."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from fusekit.interfaces.metric import ReferenceMetric
from fusekit_metrics.error import ROUNDING, decibels, squared_error
from fusekit_metrics.structure import StructuralSimilarity, ssim

DIALECT = "against the known ideal"


def psnr(fused: Tensor, ideal: Tensor) -> float:
    """PSNR in dB of two 8-bit images of the same size, at most 58.92: see `IdealSignalToNoise`."""
    return decibels(255.0, max(squared_error(fused, ideal), ROUNDING))


class IdealSignalToNoise(ReferenceMetric):
    """PSNR of the fused image against the ideal: ``10 log10(255^2 / mean((F - I)^2))``, at most 58.92 dB.

    The bound is the PSNR of the error of rounding to 8 bits, 1/12 of a squared grey level. A smaller error cannot be
    distinguished from rounding, so its PSNR is limited to this bound. Without a bound, equal images would score
    infinity, and one such scene would dominate the mean.

    Source: in common use without an original publication; see Huynh-Thu, Ghanbari, "Scope of validity of PSNR in
    image/video quality assessment", Electronics Letters 44 (13), 2008.
    """

    name: ClassVar[str] = "PSNR"
    dialect: ClassVar[str] = DIALECT
    unit: ClassVar[str] = "dB"

    def compare(self, fused: Tensor, ideal: Tensor) -> float:
        """Measure the PSNR against the ideal."""
        return psnr(fused, ideal)


class IdealSimilarity(ReferenceMetric):
    """SSIM of the fused image and the ideal, at most 1.

    Window, constants and positions are those of the ``strict`` SSIM, which compares with the sources instead. NaN if a
    side is shorter than 11 pixels.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE Transactions on Image Processing 13 (4), 2004.
    """

    name: ClassVar[str] = "SSIM"
    dialect: ClassVar[str] = DIALECT
    minimum_size: ClassVar[int] = StructuralSimilarity.minimum_size

    def compare(self, fused: Tensor, ideal: Tensor) -> float:
        """Measure the similarity to the ideal."""
        return ssim(ideal, fused)
