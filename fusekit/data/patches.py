"""Patches of images on a grid, and the contrast filter that drops flat ones."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from fusekit.data.transforms import Window


def grid(height: int, width: int, size: int, stride: int) -> list[Window]:
    """The complete square patches of an image, row by row; remainders at the right and bottom are not used.

    An image smaller than `size` has none: pad it first (`fusekit.data.transforms.reflect_pad`).
    """
    return [
        Window(top, left, size, size)
        for top in range(0, height - size + 1, stride)
        for left in range(0, width - size + 1, stride)
    ]


def contrast(plane: npt.NDArray[np.floating]) -> float:
    """Contrast (p90 - p10) / p90 of a luminance plane; 0 if the 90th percentile is 0."""
    low, high = np.percentile(plane, (10, 90))
    return float((high - low) / high) if high > 0 else 0.0


def is_flat(planes: Iterable[npt.NDArray[np.floating]], threshold: float) -> bool:
    """Whether the contrast of any source of a patch is below the threshold; always False at threshold 0.

    A patch whose 90th percentile is 0 has contrast 0, so it is flat at every other threshold.
    """
    return threshold > 0 and any(contrast(plane) < threshold for plane in planes)
