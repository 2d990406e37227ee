"""Patches of images on a grid, and the contrast filter that drops flat ones."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from fusekit.data.transforms import Window


def grid(height: int, width: int, size: int, stride: int) -> list[Window]:
    """Square patches that cover an image, row by row.

    If the stride leaves a remainder, an additional patch is flush with the right or bottom border, so that every pixel
    is in a patch if the stride does not exceed the size. An image smaller than `size` has none: pad it first
    (`fusekit.data.transforms.reflect_pad`).
    """
    return [
        Window(top, left, size, size) for top in _starts(height, size, stride) for left in _starts(width, size, stride)
    ]


def _starts(length: int, size: int, stride: int) -> list[int]:
    """Where patches begin along one side."""
    last = length - size
    starts = list(range(0, last + 1, stride))
    return [*starts, last] if starts and starts[-1] != last else starts


def contrast(plane: npt.NDArray[np.floating]) -> float:
    """Contrast (p90 - p10) / p90 of a luminance plane; 0 if the 90th percentile is 0."""
    low, high = np.percentile(plane, (10, 90))
    return float((high - low) / high) if high > 0 else 0.0


def is_flat(planes: Iterable[npt.NDArray[np.floating]], threshold: float) -> bool:
    """Whether the contrast of any source of a patch is below the threshold; always False at threshold 0.

    A patch whose 90th percentile is 0 has contrast 0, so it is flat at every other threshold.
    """
    return threshold > 0 and any(contrast(plane) < threshold for plane in planes)
