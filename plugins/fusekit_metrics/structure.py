"""Metrics of local structure: SSIM and VIF."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue
from fusekit_metrics.filtering import gaussian_valid


def local_moments(
    first: Tensor, second: Tensor, size: int, sigma: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Means, variances and covariance of two float64 images under a gaussian window, at valid positions only.

    Returns:
        ``mean_1, mean_2, variance_1, variance_2, covariance``; variances are clipped at 0, because rounding can make
        them negative.
    """
    products = torch.stack((first, second, first * first, second * second, first * second))
    mean_1, mean_2, square_1, square_2, product = gaussian_valid(products, size, sigma)
    variance_1 = (square_1 - mean_1 * mean_1).clamp_(min=0.0)
    variance_2 = (square_2 - mean_2 * mean_2).clamp_(min=0.0)
    return mean_1, mean_2, variance_1, variance_2, product - mean_1 * mean_2


def ssim(first: Tensor, second: Tensor) -> float:
    """Mean SSIM of two 8-bit images, with the window and constants of `StructuralSimilarity`."""
    stabiliser_1, stabiliser_2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2
    mean_1, mean_2, variance_1, variance_2, covariance = local_moments(
        first.to(torch.float64), second.to(torch.float64), size=11, sigma=1.5
    )
    luminance = (2.0 * mean_1 * mean_2 + stabiliser_1) / (mean_1.square() + mean_2.square() + stabiliser_1)
    structure = (2.0 * covariance + stabiliser_2) / (variance_1 + variance_2 + stabiliser_2)
    return float((luminance * structure).mean())


def vif(reference: Tensor, test: Tensor) -> float:
    """Pixel-domain VIF of ``test`` against ``reference``, both 8-bit; NaN if the reference is constant."""
    noise, epsilon = 2.0, 1e-10
    # VIF uses only variances and covariances, which do not depend on the means: centring reduces rounding errors.
    original = reference.to(torch.float64) - reference.to(torch.float64).mean()
    distorted = test.to(torch.float64) - test.to(torch.float64).mean()
    preserved = available = 0.0
    for scale in range(1, 5):
        size = 2 ** (5 - scale) + 1
        if scale > 1:
            blurred = gaussian_valid(torch.stack((original, distorted)), size, size / 5)[:, ::2, ::2]
            original, distorted = blurred[0], blurred[1]
        _, _, variance_1, variance_2, covariance = local_moments(original, distorted, size, size / 5)
        gain = covariance / (variance_1 + epsilon)
        residue = variance_2 - gain * covariance
        flat_reference = variance_1 < epsilon
        gain = gain.masked_fill(flat_reference, 0.0)
        residue = torch.where(flat_reference, variance_2, residue)
        variance_1 = variance_1.masked_fill(flat_reference, 0.0)
        flat_test = variance_2 < epsilon
        gain = gain.masked_fill(flat_test, 0.0)
        residue = residue.masked_fill(flat_test, 0.0)
        inverted = gain < 0.0
        residue = torch.where(inverted, variance_2, residue).clamp_(min=epsilon)
        gain = gain.masked_fill(inverted, 0.0)
        preserved += float(torch.log1p(gain.square() * variance_1 / (residue + noise)).sum())
        available += float(torch.log1p(variance_1 / noise).sum())
    return preserved / available if available > 0.0 else math.nan


class StructuralSimilarity(Metric):
    """SSIM, summed over the sources: ``sum_i SSIM(S_i, F)``, at most 2 for a pair.

    Each term is the mean of ``(2 m1 m2 + C1)(2 s12 + C2) / ((m1^2 + m2^2 + C1)(s1^2 + s2^2 + C2))``, with
    ``C1 = (.01 * 255)^2``, ``C2 = (.03 * 255)^2`` and population moments under a gaussian window of 11 x 11
    pixels and sigma 1.5, over the positions where the window is inside the image. NaN if a side is shorter than 11
    pixels.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE Transactions on Image Processing 13 (4), 2004.
    """

    name: ClassVar[str] = "SSIM"
    dialect: ClassVar[str] = "strict"
    minimum_size: ClassVar[int] = 11

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the similarity with every source, and its sum."""
        similarities = tuple(ssim(source, fused) for source in sources)
        return MetricValue(sum(similarities), similarities)


class VisualInformationFidelity(Metric):
    """VIF in the pixel domain, each source as the reference, summed over the sources.

    Per source, ``VIF = sum log(1 + g^2 s1^2 / (sv + 2)) / sum log(1 + s1^2 / 2)`` over all positions of four
    scales, with ``g = s12 / s1^2`` and ``sv = s2^2 - g s12``. Scale s = 1..4 has a gaussian window of
    ``n = 2^(5-s) + 1`` pixels and sigma ``n / 5``; before every scale but the first, the images are blurred with this
    window and decimated by 2. Only positions where the window is inside the image are used, which requires 41 pixels
    on the shorter side; below that the metric is NaN, as it is for a constant source.

    Source: Sheikh, Bovik, "Image information and visual quality", IEEE Transactions on Image Processing 15
    (2), 2006, in its pixel-domain form. Most papers on fusion call this metric VIF or VIFF; the fusion index of Han et
    al. (2013) is another metric.
    """

    name: ClassVar[str] = "VIF"
    dialect: ClassVar[str] = "strict"
    minimum_size: ClassVar[int] = 41

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the fidelity to every source, and its sum."""
        fidelities = tuple(vif(source, fused) for source in sources)
        return MetricValue(sum(fidelities), fidelities)
