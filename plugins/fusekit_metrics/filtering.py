"""Filters used by several metrics, in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from fusekit.interfaces.metric import shared

# Values of a map that a CPU processes at a time. Temporary tensors of this size stay in its cache, and the memory of
# one is that of the next. It is also the size up to which torch does not start threads for an elementwise operation.
_PART = 32768


@shared
def levels(image: Tensor) -> Tensor:
    """The values of an image as float64."""
    return image.to(torch.float64)


def bands(rows: int, columns: int, device: torch.device) -> Iterator[slice]:
    """Consecutive rows of a map that are processed together: a few on a CPU, all of them on other devices."""
    count = max(1, _PART // max(1, columns)) if device.type == "cpu" else rows
    return (slice(first, min(first + count, rows)) for first in range(0, rows, count))


def gaussian_taps(size: int, sigma: float) -> tuple[float, ...]:
    """One axis of a sampled gaussian window of ``size`` taps, summing to 1."""
    weights = [math.exp(-((i - (size - 1) / 2) ** 2) / (2.0 * sigma * sigma)) for i in range(size)]
    return tuple(weight / math.fsum(weights) for weight in weights)


def filter_axis(images: Tensor, taps: Sequence[float], axis: int, step: int = 1) -> Tensor:
    """Correlate images with ``taps`` along an axis, only at positions where the taps are inside the image.

    Args:
        images: ``(..., H, W)`` float64.
        taps: Weights.
        axis: -1 or -2.
        step: Every how many positions there is a result.
    """
    # A sum of shifted views: on a CPU, in float64, it is several times faster than torch's convolution of one channel,
    # which first unfolds the image into a matrix of `taps` times its size.
    length = images.shape[axis] - len(taps) + 1

    def shifted(offset: int) -> Tensor:
        window = slice(offset, offset + length, step)
        return images[..., window] if axis == -1 else images[..., window, :]

    result = shifted(0) * taps[0]
    for offset, weight in enumerate(taps[1:], start=1):
        result.add_(shifted(offset), alpha=weight)
    return result


def filter_both(images: Tensor, taps: Sequence[float], step: int = 1) -> Tensor:
    """Correlate ``(..., H, W)`` with ``taps`` along rows and columns, at positions where the taps are inside.

    Args:
        images: ``(..., H, W)`` float64.
        taps: Weights of both axes.
        step: Every how many positions of an axis there is a result.
    """
    rows = (images.shape[-2] - len(taps)) // step + 1
    parts = []
    for band in bands(rows, images.shape[-1] * math.prod(images.shape[:-2]), images.device):
        part = images[..., band.start * step : (band.stop - 1) * step + len(taps), :]
        parts.append(filter_axis(filter_axis(part, taps, -2, step), taps, -1, step))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)


def gaussian_valid(images: Tensor, size: int, sigma: float) -> Tensor:
    """Filter ``(..., H, W)`` with a gaussian window, only at positions where the window is inside the image."""
    return filter_both(images, gaussian_taps(size, sigma))


def uniform_sums(images: Tensor, size: int) -> Tensor:
    """Sums of ``(..., H, W)`` over square windows inside the image; exact for integer values."""
    return filter_both(images, (1.0,) * size)


def gaussian_in_zeros(image: Tensor, size: int, sigma: float) -> Tensor:
    """Filter a ``(H, W)`` image surrounded by zeros with ``exp(-r^2 / (2 sigma^2)) / (2 pi sigma^2)``.

    The window is not normalised after it is cut to ``size`` x ``size`` pixels.
    """
    half = size // 2
    scale = math.sqrt(2.0 * math.pi) * sigma
    taps = [math.exp(-(offset**2) / (2.0 * sigma * sigma)) / scale for offset in range(-half, half + 1)]
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
    padded = torch.nn.functional.pad(levels(image)[None, None], (1, 1, 1, 1), mode=border)[0, 0]
    height, width = image.shape
    exact = not image.is_floating_point()
    horizontal, vertical = torch.empty_like(levels(image)), torch.empty_like(levels(image))
    for rows in bands(height, width, image.device):

        def at(row: int, column: int, rows: slice = rows) -> Tensor:
            return padded[rows.start + row : rows.stop + row, column : column + width]

        if exact:
            across = padded[rows.start : rows.stop + 2, 2:] - padded[rows.start : rows.stop + 2, :-2]
            horizontal[rows] = (across[:-2] + across[2:]).add_(across[1:-1], alpha=2.0)
            down = padded[rows.start + 2 : rows.stop + 2] - padded[rows]
            vertical[rows] = (down[:, :-2] + down[:, 2:]).add_(down[:, 1:-1], alpha=2.0)
        else:
            horizontal[rows] = at(2, 2) + 2.0 * at(1, 2) + at(0, 2) - at(2, 0) - 2.0 * at(1, 0) - at(0, 0)
            vertical[rows] = at(2, 2) - at(0, 2) + 2.0 * at(2, 1) - 2.0 * at(0, 1) + at(2, 0) - at(0, 0)
    return horizontal, vertical
