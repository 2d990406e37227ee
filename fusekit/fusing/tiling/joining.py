"""Joining tiles, row by row, into an image that is written strip by strip."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fusekit.fusing.tiling.boxes import Box


class Joiner:
    """Blends overlapping tiles of one image and writes every pixel once, as soon as it is complete.

    Tiles are added from left to right and from top to bottom. Adjacent tiles overlap by ``2 · fade`` pixels around
    their common edge and are blended linearly there. One row of tiles is held in memory.

    Args:
        size: Height and width of the image.
        fade: Pixels by which a tile extends beyond its edges, at most half the side of a tile. With 0, tiles do not
            overlap.
        write: Receives each finished box of full width and its pixels, (C, h, w), clipped to [0, 1].
    """

    def __init__(self, size: tuple[int, int], fade: int, write: Callable[[Box, Tensor], None]) -> None:
        self.size = size
        self.fade = fade
        self.write = write
        self._strip: Tensor | None = None
        self._top = 0  # row of the image at which the strip begins; all rows above have been written

    def area(self, tile: Box) -> Box:
        """The box that `add` expects for a tile: the tile and its overlap with adjacent tiles."""
        height, width = self.size
        return Box(
            max(0, tile.top - self.fade),
            max(0, tile.left - self.fade),
            min(height, tile.bottom + self.fade),
            min(width, tile.right + self.fade),
        )

    def add(self, tile: Box, pixels: Tensor) -> None:
        """Adds the pixels (C, h, w) of a tile's `area`."""
        area = self.area(tile)
        strip = self._extended_strip(area.bottom, pixels)
        if self.fade:
            down = _share(area.top, area.bottom, tile.top, tile.bottom, self.size[0], self.fade)
            across = _share(area.left, area.right, tile.left, tile.right, self.size[1], self.fade)
            pixels = pixels * (down[:, None] * across).to(pixels)
        area.inside(Box(self._top, 0, self.size[0], self.size[1])).of(strip).add_(pixels)
        if tile.right == self.size[1]:
            self._finish(tile.bottom if tile.bottom == self.size[0] else tile.bottom - self.fade)

    def _extended_strip(self, bottom: int, like: Tensor) -> Tensor:
        """The strip, extended down to a row."""
        if self._strip is None:
            self._strip = like.new_zeros(like.shape[0], 0, self.size[1])
        missing = bottom - self._top - self._strip.shape[1]
        if missing > 0:
            self._strip = torch.cat([self._strip, like.new_zeros(like.shape[0], missing, self.size[1])], dim=1)
        return self._strip

    def _finish(self, bottom: int) -> None:
        """Writes the rows above `bottom` and keeps those below, to which the next row of tiles is added."""
        assert self._strip is not None
        done = bottom - self._top
        self.write(Box(self._top, 0, bottom, self.size[1]), self._strip[:, :done].clamp(0.0, 1.0))
        self._strip = self._strip[:, done:].clone()
        self._top = bottom


def _share(start: int, stop: int, low: int, high: int, length: int, fade: int) -> Tensor:
    """Blending weight of a tile from `low` to `high` at each pixel from `start` to `stop`; weights add up to one."""
    centre = torch.arange(start, stop, dtype=torch.float64) + 0.5
    rising = (centre - (low - fade)) / (2 * fade) if low > 0 else torch.ones_like(centre)
    falling = (high + fade - centre) / (2 * fade) if high < length else torch.ones_like(centre)
    return torch.minimum(rising, falling).clamp(0.0, 1.0)
