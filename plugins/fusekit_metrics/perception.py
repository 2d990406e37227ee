"""Metrics inspired by human perception: Qcb, Qcv and Qy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue
from fusekit_metrics.filtering import gaussian_in_zeros, sobel
from fusekit_metrics.structure import gaussian_window, local_moments, ssim_map


def stretched(image: Tensor) -> Tensor | None:
    """An 8-bit image stretched to 0..255 and rounded, float64; None if it is constant."""
    levels = image.to(torch.float64)
    lowest, highest = levels.min(), levels.max()
    if lowest == highest:
        return None
    return torch.floor((levels - lowest) / (highest - lowest) * 255.0 + 0.5)


def filtered(image: Tensor, response: Callable[[Tensor], Tensor], unit: float) -> Tensor:
    """Multiply the spectrum of a ``(H, W)`` image with a response to the radial frequency.

    Args:
        image: ``(H, W)`` float64; periodic.
        response: Function of the frequency.
        unit: Cycles per image that are one unit of the frequency.
    """
    height, width = image.shape
    down = torch.fft.fftfreq(height, 1.0 / height, dtype=torch.float64, device=image.device) / unit
    across = torch.fft.fftfreq(width, 1.0 / width, dtype=torch.float64, device=image.device) / unit
    radius = torch.sqrt(down[:, None].square() + across[None].square())
    filtered_image: Tensor = torch.fft.ifft2(torch.fft.fft2(image) * response(radius)).real
    return filtered_image


class ContrastPreservation(Metric):
    """Qcb, the preservation of the sources' local contrast, weighted by its saliency, at most 1.

    Each image is stretched to 0..255, rounded, and filtered with the contrast sensitivity
    ``exp(-(r / 15.387)^2) - .7622 exp(-(r / 1.3456)^2)``, where r is 1/15 of the cycles per image. Contrast is
    ``c = |G_2 / G_4 - 1|``, with gaussian windows of sigma 2 and 4 on 31 x 31 pixels, zeros around the image, masked as
    ``m = c^3 / (c^2 + .0001)``. Preservation of a source is ``min(m_i, m_F) / max(m_i, m_F)``; its weight is the share
    of ``m_i^2`` in the sum over the sources. The value is the mean over the pixels where a source has contrast. NaN if
    an image is constant, which cannot be stretched. ``per_source`` contains the weighted mean of each source.

    Source: Chen, Blum, "A new automated quality assessment algorithm for image fusion", Image and Vision Computing 27
    (10), 2009, with the constants and the order of steps of the collection of Liu et al. (2012).
    """

    name: ClassVar[str] = "Qcb"
    dialect: ClassVar[str] = "strict"

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the preservation of contrast of each source, and of all sources weighted by saliency."""
        images = [stretched(image) for image in (fused, *sources)]
        maps = [_masked_contrast(image) for image in images if image is not None]
        if len(maps) < len(images):
            return MetricValue(math.nan, (math.nan,) * len(sources))
        of_fused, of_sources = maps[0], torch.stack(maps[1:])
        stronger = torch.maximum(of_sources, of_fused)
        kept = torch.minimum(of_sources, of_fused) / torch.where(stronger > 0.0, stronger, 1.0)
        saliency = of_sources.square()
        total = saliency.sum(dim=0)
        salient = torch.isfinite(total) & (total > 0.0) & torch.isfinite(of_fused)
        quality = ((saliency * kept).sum(dim=0) / total)[salient]
        per_source = tuple(
            float((weight * part)[salient].sum() / weight[salient].sum())
            for weight, part in zip(saliency, kept, strict=True)
        )
        return MetricValue(float(quality.mean()) if len(quality) else math.nan, per_source)


def _masked_contrast(image: Tensor) -> Tensor:
    seen = filtered(
        image, lambda r: torch.exp(-(r / 15.387).square()) - 0.7622 * torch.exp(-(r / 1.3456).square()), unit=15.0
    )
    contrast = (gaussian_in_zeros(seen, 31, 2.0) / gaussian_in_zeros(seen, 31, 4.0) - 1.0).abs()
    return contrast.pow(3) / (contrast.square() + 0.0001)


class VisibleDifference(Metric):
    """Qcv, the visible squared difference from the sources, weighted by the saliency of windows; lower is better.

    Each image is stretched to 0..255 and rounded. In windows of 16 x 16 pixels (the last ones padded with zeros), the
    saliency of a source is the sum of its Sobel strength to the power 5 (zeros around the image), and the difference is
    the mean square of ``S_i - F`` after the filter ``2.6 (.0192 + .144 r) exp(-(.144 r)^1.1)``, where r is 1/4 of the
    cycles per image. The value is the mean of the differences over windows and sources, weighted by saliency. NaN if an
    image is constant, which cannot be stretched. ``per_source`` contains the weighted mean of each source.

    Source: Chen, Varshney, "A human perception inspired quality metric for image fusion based on regional information",
    Information Fusion 8 (2), 2007, with the constants of the collection of Liu et al. (2012).
    """

    name: ClassVar[str] = "Qcv"
    dialect: ClassVar[str] = "strict"
    higher_is_better: ClassVar[bool] = False

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the difference from each source, and from all sources weighted by saliency."""
        target = stretched(fused)
        parts: list[float] = []
        weights: list[float] = []
        for image in map(stretched, sources):
            if image is None or target is None:
                return MetricValue(math.nan, (math.nan,) * len(sources))
            across, down = sobel(image, border="constant")
            saliency = _window_sums(torch.sqrt(across.square() + down.square()).pow(5))
            difference = filtered(
                image - target, lambda r: 2.6 * (0.0192 + 0.144 * r) * torch.exp(-(0.144 * r).pow(1.1)), unit=4.0
            )
            parts.append(float((saliency * _window_sums(difference.square()) / 256.0).sum()))
            weights.append(float(saliency.sum()))
        per_source = tuple(part / weight for part, weight in zip(parts, weights, strict=True))
        return MetricValue(sum(parts) / sum(weights), per_source)


def _window_sums(values: Tensor) -> Tensor:
    height, width = values.shape
    padded = torch.nn.functional.pad(values, (0, -width % 16, 0, -height % 16))
    return padded.unfold(0, 16, 16).unfold(1, 16, 16).sum(dim=(-1, -2))


class SwitchedSimilarity(Metric):
    """Qy, the SSIM of the fused image with the sources where they agree, and with the nearer one where they do not.

    At each valid position of a gaussian window of 7 x 7 pixels and sigma 1.5, with the constants of SSIM: if
    ``SSIM(A, B) >= .75``, the mean of ``SSIM(A, F)`` and ``SSIM(B, F)`` weighted by the local variances of A and B
    (equal weights if both are 0), else the larger of the two. The value is the mean over positions, at most 1. With N
    sources, every two of them must agree, and one source agrees with itself. NaN if a side is shorter than 7 pixels.
    The program of Liu et al. (2012) has constants of nearly 0 instead, which is the universal quality index.

    Source: Yang, Zhang, Wang, Liu, "A novel similarity based quality metric for image fusion", Information Fusion 9
    (2), 2008.
    """

    name: ClassVar[str] = "Qy"
    dialect: ClassVar[str] = "strict"
    minimum_size: ClassVar[int] = 7

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the similarity with all sources together."""
        window = gaussian_window(7, 1.5)
        maps = torch.stack([ssim_map(source, fused, window) for source in sources])
        variances = torch.stack([local_moments(source, window).variance for source in sources])
        agree = torch.ones_like(maps[0], dtype=torch.bool)
        for i, first in enumerate(sources):
            for second in sources[i + 1 :]:
                agree &= ssim_map(first, second, window) >= 0.75
        total = variances.sum(dim=0)
        weights = torch.where(total > 0.0, variances / torch.where(total > 0.0, total, 1.0), 1.0 / len(sources))
        return MetricValue(float(torch.where(agree, (weights * maps).sum(dim=0), maps.amax(dim=0)).mean()))
