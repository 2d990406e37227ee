"""A large image at a reduced size, read strip by strip."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.fusing.tiling.boxes import Box


def reduced_size(size: tuple[int, int], pixels: int, smallest: int) -> tuple[int, int]:
    """Height and width of the same shape with about so many pixels at most.

    Args:
        size: Height and width of the image, which do not grow.
        pixels: How many.
        smallest: Neither side falls below it.
    """
    scale = min(1.0, math.sqrt(pixels / (size[0] * size[1])))
    height, width = (min(side, max(smallest, round(side * scale))) for side in size)
    return height, width


def read_reduced(
    size: tuple[int, int], read: Callable[[Box], Sequence[Tensor]], target: tuple[int, int]
) -> list[Tensor]:
    """The sources at a smaller size: means over areas, as `adaptive_avg_pool2d` of the whole image would have them.

    Args:
        size: Height and width of the image.
        read: The sources' pixels of a box, each (C, h, w).
        target: Height and width to reduce to.

    Returns:
        For every source (C, *target).
    """
    (height, width), (rows, columns) = size, target
    strips: list[list[Tensor]] = []
    for row in range(rows):
        strip = read(Box(row * height // rows, 0, -(-(row + 1) * height // rows), width))
        strips.append([F.adaptive_avg_pool2d(source, (1, columns)) for source in strip])
    return [torch.cat(source, dim=1) for source in zip(*strips, strict=True)]
