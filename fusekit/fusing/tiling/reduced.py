"""Reading a large image at a reduced size, strip by strip."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.fusing.tiling.boxes import Box


def reduced_size(size: tuple[int, int], pixels: int, smallest: int) -> tuple[int, int]:
    """Height and width with the same aspect ratio and at most about `pixels` pixels.

    Args:
        size: Height and width of the image; the result is not larger.
        pixels: Approximate largest number of pixels.
        smallest: Minimum of both sides.
    """
    scale = min(1.0, math.sqrt(pixels / (size[0] * size[1])))
    height, width = (min(side, max(smallest, round(side * scale))) for side in size)
    return height, width


def read_reduced(
    size: tuple[int, int], read: Callable[[Box], Sequence[Tensor]], target: tuple[int, int]
) -> list[Tensor]:
    """The sources at a smaller size: means over areas, equal to `adaptive_avg_pool2d` of the whole image.

    Args:
        size: Height and width of the image.
        read: Returns the sources' pixels of a box, each (C, h, w).
        target: Height and width to reduce to.

    Returns:
        One image (C, *target) per source.
    """
    (height, width), (rows, columns) = size, target
    strips: list[list[Tensor]] = []
    for row in range(rows):
        strip = read(Box(row * height // rows, 0, -(-(row + 1) * height // rows), width))
        strips.append([F.adaptive_avg_pool2d(source, (1, columns)) for source in strip])
    return [torch.cat(source, dim=1) for source in zip(*strips, strict=True)]
