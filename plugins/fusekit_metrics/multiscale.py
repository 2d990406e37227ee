"""Metrics of structure at several scales: MS-SSIM and MEF-SSIM."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue, shared
from fusekit_metrics.filtering import gaussian_valid, halved, uniform_sums
from fusekit_metrics.pairwise import PairwiseMetric
from fusekit_metrics.structure import SSIM_WINDOW, Moments, local_moments, moments_of, ssim_factors

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


class MultiScaleSimilarity(PairwiseMetric):
    """MS-SSIM, summed over the sources, at most 2 for a pair.

    Per source, the product over five scales of powers with the exponents .0448, .2856, .3001, .2363, .1333: of the mean
    of contrast and structure on the first four scales, and of the mean SSIM on the last. A negative mean is set to 0.
    Window, constants and positions of each scale are those of SSIM; a scale is the mean of 2 x 2 pixels of the one
    before, without a last row or column that has no partner. The last scale needs 11 pixels, so the image 176.

    Source: Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment", Asilomar
    Conference on Signals, Systems and Computers, 2003.
    """

    name: ClassVar[str] = "MS-SSIM"
    dialect: ClassVar[str] = "strict"
    minimum_size: ClassVar[int] = 176

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the similarity with one source."""
        product = 1.0
        for scale, (first, second) in enumerate(zip(scales_of(source), scales_of(fused), strict=True)):
            last = scale == len(_WEIGHTS) - 1
            luminance, structure = ssim_factors(first, second)
            mean = float((luminance * structure if last else structure).mean())
            product *= max(mean, 0.0) ** _WEIGHTS[scale]
        return product


@shared
def scales_of(image: Tensor) -> tuple[Moments, ...]:
    """Moments of a ``(H, W)`` uint8 image at the five scales of MS-SSIM."""
    scales = [local_moments(image, SSIM_WINDOW)]
    for _ in _WEIGHTS[1:]:
        scales.append(moments_of(torch.nn.functional.avg_pool2d(scales[-1].values[None], 2)[0], SSIM_WINDOW))
    return tuple(scales)


class ExposureSimilarity(Metric):
    """MEF-SSIM, the similarity of structure to the best patches that the sources could give, at most 1.

    A patch of 11 x 11 pixels minus its mean has a contrast (its norm) and a structure (its direction). The desired
    patch has the largest contrast of the sources and the direction of the sum of the sources' structures, weighted with
    contrast^p, ``p = tan(pi/2 R)`` up to 10, where R is the norm of the sum of the sources' patches divided by the sum
    of their norms. Quality is ``(2 s12 + C) / (s1^2 + s2^2 + C)``, ``C = (.03 * 255)^2``, under a gaussian window of
    sigma 1.5, averaged; it is the product over three scales with exponents in the ratio .0448 : .2856 : .3001 and sum
    1. A negative mean, whose power is not real, is set to 0. Luminance is not compared. Designed for images of several
    exposures; for any number of sources from 1. NaN if a side is shorter than 44 pixels.

    Source: Ma, Zeng, Wang, "Perceptual quality assessment for multi-exposure image fusion", IEEE Transactions on Image
    Processing 24 (11), 2015.
    """

    name: ClassVar[str] = "MEF-SSIM"
    dialect: ClassVar[str] = "strict"
    minimum_size: ClassVar[int] = 44

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the structure of the fused image against all sources together."""
        images = torch.stack((*sources, fused)).to(torch.float64)
        product = 1.0
        for scale, weight in enumerate(_WEIGHTS[:3], start=1):
            quality = float(exposure_quality(images[:-1], images[-1]).mean())
            product *= max(quality, 0.0) ** (weight / sum(_WEIGHTS[:3]))
            if scale < 3:
                images = halved(images)
        return MetricValue(product)


def exposure_quality(sources: Tensor, fused: Tensor) -> Tensor:
    """Quality of MEF-SSIM at every valid position of one scale.

    The desired patch is a weighted sum of source patches, so its moments follow from those of the sources, and no patch
    has to be built.

    Args:
        sources: ``(N, H, W)`` float64, levels 0 to 255.
        fused: ``(H, W)`` float64.
    """
    size, count = 11, len(sources)
    pixels = size * size
    epsilon = torch.finfo(torch.float64).eps
    pairs = sources[:, None] * sources[None]
    sums = uniform_sums(sources, size)
    # Products of patches minus their means: (N, N, H', W').
    products = uniform_sums(pairs, size) - sums[:, None] * sums[None] / pixels
    norms = products.diagonal().permute(2, 0, 1).clamp(min=0.0).sqrt()
    consistency = (products.sum(dim=(0, 1)).clamp(min=0.0).sqrt() + epsilon) / (norms.sum(dim=0) + epsilon)
    power = torch.tan(math.pi / 2.0 * consistency.clamp(epsilon, 1.0 - epsilon)).clamp(max=10.0)
    contrasts = norms + 0.001
    weights = (contrasts / size).pow(power) + epsilon
    weights = weights / weights.sum(dim=0) / contrasts
    norm = torch.einsum("jhw,khw,jkhw->hw", weights, weights, products).clamp(min=0.0).sqrt()
    weights = weights * torch.where(norm > 0.0, contrasts.amax(dim=0) / norm.clamp(min=1e-300), 1.0)

    def blurred(images: Tensor) -> Tensor:
        return gaussian_valid(images, size, 1.5)

    means, smooth = sums / pixels, blurred(sources)
    smooth_fused = blurred(fused)
    mean = (weights * (smooth - means)).sum(dim=0)
    square = torch.zeros_like(mean)
    for j in range(count):
        for k in range(count):
            moment = blurred(pairs[j, k]) - means[j] * smooth[k] - means[k] * smooth[j] + means[j] * means[k]
            square += weights[j] * weights[k] * moment
    product = (weights * (blurred(sources * fused) - means * smooth_fused)).sum(dim=0)
    constant = (0.03 * 255.0) ** 2
    variance = (square - mean.square()).clamp(min=0.0)
    variance_fused = (blurred(fused * fused) - smooth_fused.square()).clamp(min=0.0)
    return (2.0 * (product - mean * smooth_fused) + constant) / (variance + variance_fused + constant)
