"""Filters used by several metrics, in float64."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def gaussian_taps(size: int, sigma: float) -> Tensor:
    """One axis of a sampled gaussian window of ``size`` taps, summing to 1."""
    offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    taps = torch.exp(-offsets.square() / (2.0 * sigma * sigma))
    return taps / taps.sum()


def filter_axis(images: Tensor, taps: Tensor, axis: int) -> Tensor:
    """Correlate images with ``taps`` along an axis, only at positions where the taps are inside the image."""
    # A sum of shifted views: on a CPU, in float64, it is several times faster than torch's convolution of one channel,
    # which first unfolds the image into a matrix of `taps` times its size.
    length = images.shape[axis] - taps.numel() + 1
    weights = taps.tolist()
    result = images.narrow(axis, 0, length) * weights[0]
    for offset, weight in enumerate(weights[1:], start=1):
        result.add_(images.narrow(axis, offset, length), alpha=weight)
    return result


def filter_both(images: Tensor, taps: Tensor) -> Tensor:
    """Correlate ``(..., H, W)`` with ``taps`` along rows and columns, at positions where the taps are inside."""
    return filter_axis(filter_axis(images, taps, -1), taps, -2)


def gaussian_valid(images: Tensor, size: int, sigma: float) -> Tensor:
    """Filter ``(..., H, W)`` with a gaussian window, only at positions where the window is inside the image."""
    return filter_both(images, gaussian_taps(size, sigma))


def uniform_valid(images: Tensor, size: int) -> Tensor:
    """Mean of ``(..., H, W)`` over square windows, only at positions where the window is inside the image."""
    return filter_both(images, torch.full((size,), 1.0 / size, dtype=torch.float64))


def uniform_sums(images: Tensor, size: int) -> Tensor:
    """Sums of ``(..., H, W)`` over square windows inside the image; exact for integer values."""
    return filter_both(images, torch.ones(size, dtype=torch.float64))


def gaussian_in_zeros(image: Tensor, size: int, sigma: float) -> Tensor:
    """Filter a ``(H, W)`` image surrounded by zeros with ``exp(-r^2 / (2 sigma^2)) / (2 pi sigma^2)``.

    The window is not normalised after it is cut to ``size`` x ``size`` pixels.
    """
    half = size // 2
    offsets = torch.arange(-half, half + 1, dtype=torch.float64)
    taps = torch.exp(-offsets.square() / (2.0 * sigma * sigma)) / (math.sqrt(2.0 * math.pi) * sigma)
    return filter_both(torch.nn.functional.pad(image, (half, half, half, half)), taps)


def halved(images: Tensor) -> Tensor:
    """Means of 2 x 2 pixels of ``(N, H, W)``; a last row or column without a partner is repeated."""
    height, width = images.shape[-2:]
    padded = torch.nn.functional.pad(images, (0, width % 2, 0, height % 2), mode="replicate")
    return torch.nn.functional.avg_pool2d(padded, 2)


def exact_sqrt(values: Tensor) -> Tensor:
    """Correctly rounded square roots of float64 values.

    On a CPU, torch may call a library whose results can be off by one unit in the last place, so that equal edge
    strengths differ. The square root of numpy is that of the processor, which is correctly rounded.
    """
    return torch.from_numpy(np.sqrt(values.numpy())) if values.device.type == "cpu" else torch.sqrt(values)


def sobel(image: Tensor, border: str = "replicate") -> tuple[Tensor, Tensor]:
    """Horizontal and vertical Sobel responses of a ``(H, W)`` image: right minus left, lower minus upper.

    The terms of a response are added one by one, the right column first and in it the lower row first. The order does
    not matter for integer values, which are exact. For other values it decides which responses are equal after
    rounding, and it is the order of MATLAB's ``conv2``.

    Args:
        image: ``(H, W)``, any dtype; computed in float64.
        border: Values outside the image: ``replicate`` for those at its border, or ``constant`` for 0.
    """
    padded = torch.nn.functional.pad(image[None, None].to(torch.float64), (1, 1, 1, 1), mode=border)[0, 0]
    height, width = image.shape

    def at(row: int, column: int) -> Tensor:
        return padded[row : row + height, column : column + width]

    horizontal = at(2, 2) + 2.0 * at(1, 2) + at(0, 2) - at(2, 0) - 2.0 * at(1, 0) - at(0, 0)
    vertical = at(2, 2) - at(0, 2) + 2.0 * at(2, 1) - 2.0 * at(0, 1) + at(2, 0) - at(0, 0)
    return horizontal, vertical
