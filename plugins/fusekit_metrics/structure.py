"""Metrics of local structure: SSIM and VIF."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusekit_metrics.filtering import gaussian_valid, uniform_valid
from fusekit_metrics.pairwise import PairwiseMetric

# Filters images (..., H, W) with a window, only at positions where the window is inside the image.
Window = Callable[[Tensor], Tensor]


def gaussian_window(size: int, sigma: float) -> Window:
    """A gaussian window of ``size`` x ``size`` pixels."""
    return lambda images: gaussian_valid(images, size, sigma)


def uniform_window(size: int) -> Window:
    """A window of ``size`` x ``size`` pixels with equal weights."""
    return lambda images: uniform_valid(images, size)


SSIM_WINDOW = gaussian_window(11, 1.5)


def local_moments(
    first: Tensor, second: Tensor, window: Window, highest_product: float = math.inf
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Means, variances and covariance of two float64 images under a window, at valid positions only.

    Args:
        first: ``(H, W)`` float64.
        second: ``(H, W)`` float64.
        window: Filter of the window.
        highest_product: Products of pixel values are cut to this value, as integer arithmetic that saturates does.

    Returns:
        ``mean_1, mean_2, variance_1, variance_2, covariance``; variances are clipped at 0, because rounding can make
        them negative.
    """
    products = torch.stack((first * first, second * second, first * second))
    if math.isfinite(highest_product):
        products.clamp_(max=highest_product)
    mean_1, mean_2, square_1, square_2, product = window(torch.cat((torch.stack((first, second)), products)))
    variance_1 = (square_1 - mean_1 * mean_1).clamp_(min=0.0)
    variance_2 = (square_2 - mean_2 * mean_2).clamp_(min=0.0)
    return mean_1, mean_2, variance_1, variance_2, product - mean_1 * mean_2


def ssim_maps(
    first: Tensor, second: Tensor, window: Window = SSIM_WINDOW, data_range: float = 255.0, unbiased: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The two factors of SSIM at every valid position: luminance, and contrast with structure.

    Args:
        first: ``(H, W)``, any dtype; computed in float64.
        second: ``(H, W)``, any dtype; computed in float64.
        window: Filter of the window.
        data_range: L in the constants ``(.01 L)^2`` and ``(.03 L)^2``.
        unbiased: Factor of variances and covariance; n / (n - 1) gives the sample form for windows of n pixels.
    """
    stabiliser_1, stabiliser_2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mean_1, mean_2, variance_1, variance_2, covariance = local_moments(
        first.to(torch.float64), second.to(torch.float64), window
    )
    luminance = (2.0 * mean_1 * mean_2 + stabiliser_1) / (mean_1.square() + mean_2.square() + stabiliser_1)
    structure = (2.0 * unbiased * covariance + stabiliser_2) / (unbiased * (variance_1 + variance_2) + stabiliser_2)
    return luminance, structure


def ssim(
    first: Tensor, second: Tensor, window: Window = SSIM_WINDOW, data_range: float = 255.0, unbiased: float = 1.0
) -> float:
    """Mean SSIM of two 8-bit images; by default with the window and constants of `StructuralSimilarity`."""
    luminance, structure = ssim_maps(first, second, window, data_range, unbiased)
    return float((luminance * structure).mean())


@dataclass(frozen=True)
class Information:
    """Terms of VIF at every valid position of one scale.

    Attributes:
        preserved: ``log(1 + g^2 s1^2 / (sv + noise))``.
        available: ``log(1 + s1^2 / noise)``.
        gain: ``g``.
    """

    preserved: Tensor
    available: Tensor
    gain: Tensor


def vif_window(size: int) -> Window:
    """The window of VIF of a given size: gaussian, with a sigma of a fifth of the size."""
    return gaussian_window(size, size / 5)


def information_of_scales(
    reference: Tensor,
    test: Tensor,
    noise: float = 2.0,
    highest_product: float = math.inf,
    window_of: Callable[[int], Window] = vif_window,
) -> Iterator[Information]:
    """The terms of VIF at each of its four scales.

    Args:
        reference: ``(H, W)`` uint8.
        test: ``(H, W)`` uint8.
        noise: Variance of the noise of vision, in squared grey levels.
        highest_product: At the first scale, products of pixel values are cut to this value.
        window_of: The window of a size in pixels.
    """
    epsilon = 1e-10
    original, distorted = reference.to(torch.float64), test.to(torch.float64)
    if math.isinf(highest_product) and window_of is vif_window:
        # VIF uses only variances and covariances, which do not depend on the means: centring reduces rounding errors.
        original, distorted = original - original.mean(), distorted - distorted.mean()
    for scale in range(1, 5):
        size = 2 ** (5 - scale) + 1
        window = window_of(size)
        if scale > 1:
            original, distorted = window(torch.stack((original, distorted)))[:, ::2, ::2]
        limit = highest_product if scale == 1 else math.inf
        _, _, variance_1, variance_2, covariance = local_moments(original, distorted, window, limit)
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
        preserved = torch.log1p(gain.square() * variance_1 / (residue + noise))
        yield Information(preserved, torch.log1p(variance_1 / noise), gain)


def vif(
    reference: Tensor,
    test: Tensor,
    highest_product: float = math.inf,
    window_of: Callable[[int], Window] = vif_window,
) -> float:
    """Pixel-domain VIF of ``test`` against ``reference``, both 8-bit; NaN if the reference is constant."""
    preserved = available = 0.0
    for scale in information_of_scales(reference, test, highest_product=highest_product, window_of=window_of):
        preserved += float(scale.preserved.sum())
        available += float(scale.available.sum())
    return preserved / available if available > 0.0 else math.nan


class StructuralSimilarity(PairwiseMetric):
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

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the similarity with one source."""
        return ssim(source, fused)


class VisualInformationFidelity(PairwiseMetric):
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

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the fidelity to one source."""
        return vif(source, fused)
