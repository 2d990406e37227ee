"""Metrics of local structure: SSIM and VIF."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from fusekit.interfaces.metric import shared
from fusekit_metrics.filtering import filter_both, gaussian_taps, levels
from fusekit_metrics.pairwise import PairwiseMetric

_EPSILON = 1e-10


@dataclass(frozen=True)
class Window:
    """A separable window of an odd number of pixels.

    Attributes:
        taps: Weights along an axis.
        border: How the image continues outside, a mode of torch's ``pad``, so that there is a position for every pixel;
            None for only the positions where the window is inside the image.
    """

    taps: tuple[float, ...]
    border: str | None = None

    def extended(self, image: Tensor) -> Tensor:
        """A ``(H, W)`` image with the border that the window needs."""
        if self.border is None:
            return image
        return torch.nn.functional.pad(image[None], (len(self.taps) // 2,) * 4, mode=self.border)[0]

    def mean(self, extended: Tensor, step: int = 1) -> Tensor:
        """Mean of an `extended` image under the window, at every ``step``-th position of each axis."""
        return filter_both(extended, self.taps, step)


def gaussian_window(size: int, sigma: float) -> Window:
    """A gaussian window of ``size`` x ``size`` pixels."""
    return Window(gaussian_taps(size, sigma))


def uniform_window(size: int) -> Window:
    """A window of ``size`` x ``size`` pixels with equal weights."""
    return Window((1.0 / size,) * size)


SSIM_WINDOW = gaussian_window(11, 1.5)


@dataclass(frozen=True)
class Moments:
    """Mean and variance of an image under a window.

    Attributes:
        values: The image with the border that the window needs, float64.
        mean: ``(H', W')`` float64.
        variance: Of the same shape; clipped at 0, because rounding can make it negative.
        window: The window.
        highest_product: Products of pixel values are cut to this value, as integer arithmetic that saturates does.
    """

    values: Tensor
    mean: Tensor
    variance: Tensor
    window: Window
    highest_product: float

    def covariance(self, other: Moments) -> Tensor:
        """Covariance with another image under the same window, ``(H', W')``."""
        mean = _mean_of_product(self.values, other.values, self.window, self.highest_product)
        return mean.addcmul_(self.mean, other.mean, value=-1.0)


def moments_of(values: Tensor, window: Window, highest_product: float = math.inf) -> Moments:
    """Moments of a ``(H, W)`` float64 image under a window."""
    extended = window.extended(values)
    mean = window.mean(extended)
    square = _mean_of_product(extended, extended, window, highest_product)
    return Moments(extended, mean, square.addcmul_(mean, mean, value=-1.0).clamp_(min=0.0), window, highest_product)


def _mean_of_product(first: Tensor, second: Tensor, window: Window, highest_product: float) -> Tensor:
    product = first * second
    return window.mean(product.clamp_(max=highest_product) if math.isfinite(highest_product) else product)


@shared
def local_moments(image: Tensor, window: Window) -> Moments:
    """Moments of a ``(H, W)`` image of any dtype under a window."""
    return moments_of(levels(image), window)


def ssim_factors(
    first: Moments, second: Moments, data_range: float = 255.0, unbiased: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The two factors of SSIM at every position: luminance, and contrast with structure.

    Args:
        first: Moments of an image.
        second: Moments of another image under the same window.
        data_range: L in the constants ``(.01 L)^2`` and ``(.03 L)^2``.
        unbiased: Factor of variances and covariance; n / (n - 1) gives the sample form for windows of n pixels.
    """
    stabiliser_1, stabiliser_2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    squares = first.mean.square().add_(stabiliser_1).addcmul_(second.mean, second.mean)
    luminance = (first.mean * second.mean).mul_(2.0).add_(stabiliser_1).div_(squares)
    variances = (first.variance + second.variance).mul_(unbiased).add_(stabiliser_2)
    structure = first.covariance(second).mul_(2.0 * unbiased).add_(stabiliser_2).div_(variances)
    return luminance, structure


@shared
def ssim_map(
    first: Tensor, second: Tensor, window: Window = SSIM_WINDOW, data_range: float = 255.0, unbiased: float = 1.0
) -> Tensor:
    """SSIM of two images at every position of a window; by default that of `StructuralSimilarity`.

    Args:
        first: ``(H, W)``, any dtype; computed in float64.
        second: ``(H, W)``, any dtype; computed in float64.
        window: The window.
        data_range: As for `ssim_factors`.
        unbiased: As for `ssim_factors`.
    """
    one, two = local_moments(first, window), local_moments(second, window)
    luminance, structure = ssim_factors(one, two, data_range, unbiased)
    return luminance.mul_(structure)


def ssim(
    first: Tensor, second: Tensor, window: Window = SSIM_WINDOW, data_range: float = 255.0, unbiased: float = 1.0
) -> float:
    """Mean of `ssim_map`."""
    return float(ssim_map(first, second, window, data_range, unbiased).mean())


def vif_window(size: int) -> Window:
    """The window of VIF of a given size: gaussian, with a sigma of a fifth of the size."""
    return gaussian_window(size, size / 5)


@shared
def vif_scales(
    image: Tensor, highest_product: float = math.inf, window_of: Callable[[int], Window] = vif_window
) -> tuple[Moments, ...]:
    """Moments of an image at each of the four scales of VIF. Variances up to 1e-10 are 0.

    Args:
        image: ``(H, W)`` uint8.
        highest_product: At the first scale, products of pixel values are cut to this value.
        window_of: The window of a size in pixels.
    """
    values = levels(image)
    if math.isinf(highest_product) and window_of is vif_window:
        # VIF uses only variances and covariances, which do not depend on the means: centring reduces rounding errors.
        values = values - values.mean()
    scales = []
    for scale in range(1, 5):
        window = window_of(2 ** (5 - scale) + 1)
        if scale > 1:
            values = window.mean(window.extended(values), step=2)
        found = moments_of(values, window, highest_product if scale == 1 else math.inf)
        torch.nn.functional.threshold(found.variance, _EPSILON, 0.0, inplace=True)
        scales.append(found)
    return tuple(scales)


@dataclass(frozen=True)
class Information:
    """Terms of VIF at every position of one scale. Information is ``log(1 + term)``.

    Attributes:
        preserved: ``g^2 s1^2 / (sv + noise)``.
        variance: ``s1^2``; what is available is ``s1^2 / noise``.
        gain: ``g``.
    """

    preserved: Tensor
    variance: Tensor
    gain: Tensor


def information(reference: Moments, test: Moments, noise: float = 2.0) -> Information:
    """The terms of VIF at one scale.

    Args:
        reference: Scale of the reference image.
        test: The same scale of the image that is compared with it.
        noise: Variance of the noise of vision, in squared grey levels.
    """
    covariance = reference.covariance(test)
    variance_1, variance_2 = reference.variance, test.variance
    # A gain of 0, where an image is flat or the covariance negative, preserves nothing, whatever the residue is.
    textured = (variance_1 * variance_2).sign_()
    gain = (covariance / (variance_1 + _EPSILON)).clamp_(min=0.0).mul_(textured)
    residue = covariance.mul_(gain).neg_().add_(variance_2).clamp_(min=_EPSILON).add_(noise)
    return Information(gain.square().mul_(variance_1).div_(residue), variance_1, gain)


def sum_of_log1p(values: Tensor) -> float:
    """``sum log(1 + values)`` of values from 0 to 1e30, as logarithms of products of 8 values."""
    factors = (values + 1.0).t().flatten()  # columns are contiguous
    grouped = factors.numel() // 8 * 8
    return float(factors[:grouped].view(8, -1).prod(dim=0).log().sum() + factors[grouped:].log().sum())


@shared
def _available(reference: Tensor, highest_product: float, window_of: Callable[[int], Window]) -> float:
    scales = vif_scales(reference, highest_product, window_of)
    return math.fsum(sum_of_log1p(scale.variance / 2.0) for scale in scales)


def vif(
    reference: Tensor,
    test: Tensor,
    highest_product: float = math.inf,
    window_of: Callable[[int], Window] = vif_window,
) -> float:
    """Pixel-domain VIF of ``test`` against ``reference``, both 8-bit; NaN if the reference is constant."""
    preserved = math.fsum(
        sum_of_log1p(information(first, second).preserved)
        for first, second in zip(
            vif_scales(reference, highest_product, window_of), vif_scales(test, highest_product, window_of), strict=True
        )
    )
    available = _available(reference, highest_product, window_of)
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

    def similarity(self, source: Tensor, fused: Tensor) -> Tensor:
        """SSIM with one source at every position of the window."""
        return ssim_map(source, fused)

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the similarity with one source."""
        return float(self.similarity(source, fused).mean())

    def map(self, fused: Tensor, sources: Sequence[Tensor]) -> Tensor | None:
        """Mean over the sources of ``(1 + SSIM) / 2`` per pixel; None for images that are too small.

        The mean of the map over the positions of the window is ``(1 + m) / 2``, where m is the mean over the sources of
        ``per_source``. At the border, where the window is not inside the image, the map repeats the nearest position.
        """
        if min(fused.shape) < self.minimum_size:
            return None
        mean = torch.stack([self.similarity(source, fused) for source in sources]).mean(dim=0)
        border = (fused.shape[0] - mean.shape[0]) // 2
        return torch.nn.functional.pad((1.0 + mean[None]) / 2.0, (border,) * 4, mode="replicate")[0].clamp_(0.0, 1.0)


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
