"""Filters used by several metrics, in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from fusekit.interfaces.metric import shared

# Positions that a product of matrices computes at a time: the filter is repeated in a matrix of this many rows.
_BLOCK = 8


@shared
def levels(image: Tensor) -> Tensor:
    """The values of an image as float64."""
    return image.to(torch.float64)


def gaussian_taps(size: int, sigma: float) -> tuple[float, ...]:
    """One axis of a sampled gaussian window of ``size`` taps, summing to 1."""
    weights = [math.exp(-((i - (size - 1) / 2) ** 2) / (2.0 * sigma * sigma)) for i in range(size)]
    return tuple(weight / math.fsum(weights) for weight in weights)


@cache
def _band_matrix(taps: tuple[float, ...], step: int, device: torch.device) -> Tensor:
    """Matrix whose row i has the taps from column ``i * step`` on."""
    matrix = torch.zeros(_BLOCK, (_BLOCK - 1) * step + len(taps), dtype=torch.float64)
    for row in range(_BLOCK):
        matrix[row, row * step : row * step + len(taps)] = torch.tensor(taps, dtype=torch.float64)
    return matrix.to(device)


def _filter_rows(image: Tensor, taps: tuple[float, ...], step: int) -> Tensor:
    """Correlate the columns of ``(H, W)`` float64 with ``taps``, at every ``step``-th position inside."""
    # Blocks of rows, which overlap, times a band matrix. On a CPU this is several times faster than torch's convolution
    # of one channel in float64, and than a sum of shifted images, because a block is read from memory once.
    matrix = _band_matrix(taps, step, image.device)
    rows = (image.shape[0] - len(taps)) // step + 1
    blocks = rows // _BLOCK
    result = image.new_empty(rows, image.shape[1])
    down, across = image.stride()
    torch.bmm(
        matrix.expand(blocks, *matrix.shape),
        image.as_strided(
            (blocks, matrix.shape[1], image.shape[1]), (_BLOCK * step * down, down, across), image.storage_offset()
        ),
        out=result[: blocks * _BLOCK].view(blocks, _BLOCK, image.shape[1]),
    )
    rest = rows - blocks * _BLOCK
    if rest:
        used = (rest - 1) * step + len(taps)
        start = blocks * _BLOCK * step
        torch.mm(matrix[:rest, :used], image[start : start + used], out=result[blocks * _BLOCK :])
    return result


def filter_both(images: Tensor, taps: Sequence[float], step: int = 1) -> Tensor:
    """Correlate ``(..., H, W)`` with ``taps`` along rows and columns, at positions where the taps are inside.

    Args:
        images: ``(..., H, W)`` float64.
        taps: Weights of both axes.
        step: Every how many positions of an axis there is a result.

    Returns:
        ``(..., H', W')``; in memory, columns are contiguous.
    """
    if images.ndim > 2:
        return torch.stack([filter_both(image, taps, step) for image in images])
    return _filter_rows(_filter_rows(images, tuple(taps), step).t(), tuple(taps), step).t()


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


def bordered(image: Tensor, border: str) -> Tensor:
    """A ``(H, W)`` image of any dtype with one pixel more on every side, as torch's ``pad`` does for floating point."""
    if border == "constant":
        return torch.nn.functional.pad(image, (1, 1, 1, 1))
    inwards = 1 if border == "reflect" else 0
    rows = torch.cat((image[inwards : inwards + 1], image, image[-1 - inwards : image.shape[0] - inwards]))
    first, last = rows[:, inwards : inwards + 1], rows[:, -1 - inwards : image.shape[1] - inwards]
    return torch.cat((first, rows, last), dim=1)


def sobel_8(image: Tensor, border: str = "replicate") -> tuple[Tensor, Tensor]:
    """As `sobel`, of a uint8 image, int16: several times faster, and exact."""
    padded = bordered(image.to(torch.int16), border)
    across, down = padded[:, 2:] - padded[:, :-2], padded[2:] - padded[:-2]
    horizontal = (across[:-2] + across[2:]).add_(across[1:-1], alpha=2)
    return horizontal, (down[:, :-2] + down[:, 2:]).add_(down[:, 1:-1], alpha=2)


def sobel(image: Tensor, border: str = "replicate") -> tuple[Tensor, Tensor]:
    """Horizontal and vertical Sobel responses of a ``(H, W)`` image: right minus left, lower minus upper.

    The terms of a response are added one by one, the right column first and in it the lower row first. The order does
    not matter for integer values, which are exact. For other values it decides which responses are equal after
    rounding, and it is the order of MATLAB's ``conv2``.

    Args:
        image: ``(H, W)``, any dtype; computed in float64.
        border: Values outside the image: ``replicate`` for those at its border, ``reflect`` for those next to its
            border, or ``constant`` for 0.
    """
    if image.dtype == torch.uint8:
        across, down = sobel_8(image, border)
        return across.to(torch.float64), down.to(torch.float64)
    padded = bordered(levels(image), border)
    height, width = image.shape

    def at(row: int, column: int) -> Tensor:
        return padded[row : row + height, column : column + width]

    horizontal = at(2, 2) + 2.0 * at(1, 2) + at(0, 2) - at(2, 0) - 2.0 * at(1, 0) - at(0, 0)
    vertical = at(2, 2) - at(0, 2) + 2.0 * at(2, 1) - 2.0 * at(0, 1) + at(2, 0) - at(0, 0)
    return horizontal, vertical
