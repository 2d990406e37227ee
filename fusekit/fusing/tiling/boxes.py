"""Rectangles of an image: tiles, and the windows in which they are computed."""

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
        """The same box, in coordinates relative to the top left corner of `outer`."""
        return Box(self.top - outer.top, self.left - outer.left, self.bottom - outer.top, self.right - outer.left)

    def of(self, image: Tensor) -> Tensor:
        """This part of (…, H, W); a view."""
        return image[..., self.top : self.bottom, self.left : self.right]


def cut(length: int, most: int, stride: int = 1) -> list[int]:
    """Edges of nearly equal pieces of a side, each of at most `most` pixels, and at least half that if several.

    Returns:
        The edges from 0 to `length`, one more than pieces. Inner edges are rounded to multiples of `stride`, so that
        pieces may be larger or smaller by less than `stride`.
    """
    pieces = math.ceil(length / most)
    return [length * i // pieces // stride * stride for i in range(pieces)] + [length]


def tiles_of(size: tuple[int, int], tile: int, stride: int = 1) -> list[Box]:
    """Nearly equal tiles of an image of (height, width), row by row."""
    rows, columns = (cut(side, tile, stride) for side in size)
    return [
        Box(top, left, bottom, right)
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(columns)
    ]


def widened(box: Box, by: int, size: tuple[int, int], stride: int = 1) -> Box:
    """A box extended by a margin on every side, rounded outwards to multiples of `stride`, and cut at the image border.

    So a network pads a window only at the border of the image, as it would pad the whole image.
    """
    height, width = size
    return Box(
        max(0, (box.top - by) // stride * stride),
        max(0, (box.left - by) // stride * stride),
        min(height, -(-(box.bottom + by) // stride) * stride),
        min(width, -(-(box.right + by) // stride) * stride),
    )


def sample_boxes(size: tuple[int, int], pixels: int, side: int, stride: int = 1) -> list[Box]:
    """Small boxes that do not overlap: one box at a random position in each grid cell (stratified sampling).

    Random positions avoid aliasing with periodic structures in the image; the seed is fixed.

    Args:
        size: Height and width of the image.
        pixels: Approximate number of pixels in all boxes together.
        side: Height and width of a box; smaller if the image or its cell is smaller.
        stride: Boxes begin at multiples of it, and their sides are rounded up to multiples of it.
    """
    height, width = size
    side = -(-side // stride) * stride
    most_down, most_across = height // min(side, height), width // min(side, width)
    count = pixels / (min(side, height) * min(side, width))
    # The cells are about square, as far as the shorter side allows.
    if height < width:
        down = min(most_down, max(1, round(math.sqrt(count * height / width))))
        across = min(most_across, max(1, round(count / down)))
    else:
        across = min(most_across, max(1, round(math.sqrt(count * width / height))))
        down = min(most_down, max(1, round(count / across)))
    offsets = torch.rand(down, across, 2, generator=torch.Generator().manual_seed(0)).tolist()
    boxes = []
    for row, offsets_of_row in enumerate(offsets):
        for column, (offset_down, offset_across) in enumerate(offsets_of_row):
            top, bottom = height * row // down, height * (row + 1) // down
            left, right = width * column // across, width * (column + 1) // across
            h, w = min(side, bottom - top), min(side, right - left)
            top = (top + round(offset_down * (bottom - top - h))) // stride * stride
            left = (left + round(offset_across * (right - left - w))) // stride * stride
            boxes.append(Box(top, left, top + h, left + w))
    return boxes
