"""Filters used by several metrics, in float64."""

from __future__ import annotations

import torch
from torch import Tensor


def gaussian_taps(size: int, sigma: float) -> Tensor:
    """One axis of a sampled gaussian window of ``size`` taps, summing to 1."""
    offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    taps = torch.exp(-offsets.square() / (2.0 * sigma * sigma))
    return taps / taps.sum()


def _filter_axis(images: Tensor, taps: Tensor, axis: int) -> Tensor:
    # A sum of shifted views: on a CPU, in float64, it is several times faster than torch's convolution of one channel,
    # which first unfolds the image into a matrix of `taps` times its size.
    length = images.shape[axis] - taps.numel() + 1
    weights = taps.tolist()
    result = images.narrow(axis, 0, length) * weights[0]
    for offset, weight in enumerate(weights[1:], start=1):
        result.add_(images.narrow(axis, offset, length), alpha=weight)
    return result


def gaussian_valid(images: Tensor, size: int, sigma: float) -> Tensor:
    """Filter ``(..., H, W)`` with a gaussian window, only at positions where the window is inside the image."""
    taps = gaussian_taps(size, sigma)
    return _filter_axis(_filter_axis(images, taps, -1), taps, -2)


def sobel_replicated(image: Tensor) -> tuple[Tensor, Tensor]:
    """Horizontal and vertical Sobel responses of a ``(H, W)`` image with replicated borders."""
    batch = image[None, None].to(torch.float64)
    padded = torch.nn.functional.pad(batch, (1, 1, 1, 1), mode="replicate")[0, 0]
    across = padded[:, 2:] - padded[:, :-2]
    along = padded[2:] - padded[:-2]
    horizontal = across[:-2] + 2.0 * across[1:-1] + across[2:]
    vertical = along[:, :-2] + 2.0 * along[:, 1:-1] + along[:, 2:]
    return horizontal, vertical
