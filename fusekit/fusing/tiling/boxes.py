"""Rectangles of an image: how it is cut into tiles, and the windows in which tiles are computed."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor


class Box(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of an image, the latter two exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def area(self) -> int:
        """Pixels."""
        return self.height * self.width

    def inside(self, outer: Box) -> Box:
        """The same box, counted from the corner of `outer`."""
        return Box(self.top - outer.top, self.left - outer.left, self.bottom - outer.top, self.right - outer.left)

    def of(self, image: Tensor) -> Tensor:
        """This part of (…, H, W); a view."""
        return image[..., self.top : self.bottom, self.left : self.right]


def cut(length: int, most: int, stride: int = 1) -> list[int]:
    """Ends of nearly equal pieces of a side, each of `most` pixels or fewer, and of at least half if there are several.

    Returns:
        The edges from 0 to `length`, one more than pieces. Those between are multiples of `stride`, for which pieces
        may be larger or smaller by less than that.
    """
    pieces = math.ceil(length / most)
    return [length * i // pieces // stride * stride for i in range(pieces)] + [length]


def tiles_of(size: tuple[int, int], tile: int, stride: int = 1) -> list[Box]:
    """An image of a height and width cut into nearly equal tiles, row by row."""
    rows, columns = (cut(side, tile, stride) for side in size)
    return [
        Box(top, left, bottom, right)
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(columns)
    ]


def widened(box: Box, by: int, size: tuple[int, int], stride: int = 1) -> Box:
    """A box with so many more pixels on every side, more still to multiples of `stride`, and cut at the image's border.

    The border stays the only place where a network pads: beyond it there is nothing to see.
    """
    height, width = size
    return Box(
        max(0, (box.top - by) // stride * stride),
        max(0, (box.left - by) // stride * stride),
        min(height, -(-(box.bottom + by) // stride) * stride),
        min(width, -(-(box.right + by) // stride) * stride),
    )


def spread(size: tuple[int, int], pixels: int, side: int, stride: int = 1) -> list[Box]:
    """Small boxes spread evenly over an image, none overlapping: one in every cell of a grid, at a place drawn by lot.

    The lot keeps the boxes from falling into step with whatever repeats in the image; it is the same every time.

    Args:
        size: Height and width of the image.
        pixels: About how many pixels there shall be in all boxes.
        side: Height and width of a box, less where the image or its cell is smaller.
        stride: Boxes begin at multiples of it, and their sides are made multiples of it.
    """
    height, width = size
    side = -(-side // stride) * stride
    most_down, most_across = height // min(side, height), width // min(side, width)
    count = pixels / (min(side, height) * min(side, width))
    # The cells are about square, as far as the shorter side has room for them.
    if height < width:
        down = min(most_down, max(1, round(math.sqrt(count * height / width))))
        across = min(most_across, max(1, round(count / down)))
    else:
        across = min(most_across, max(1, round(math.sqrt(count * width / height))))
        down = min(most_down, max(1, round(count / across)))
    lots = torch.rand(down, across, 2, generator=torch.Generator().manual_seed(0)).tolist()
    boxes = []
    for row, lots_of_row in enumerate(lots):
        for column, (lot_down, lot_across) in enumerate(lots_of_row):
            top, bottom = height * row // down, height * (row + 1) // down
            left, right = width * column // across, width * (column + 1) // across
            h, w = min(side, bottom - top), min(side, right - left)
            top = (top + round(lot_down * (bottom - top - h))) // stride * stride
            left = (left + round(lot_across * (right - left - w))) // stride * stride
            boxes.append(Box(top, left, top + h, left + w))
    return boxes
