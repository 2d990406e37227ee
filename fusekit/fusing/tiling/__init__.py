"""Large images in tiles, in memory that does not grow with their area."""

from __future__ import annotations

from fusekit.fusing.tiling.tiles import Box, fuse_in_tiles, tile_size

__all__ = ["Box", "fuse_in_tiles", "tile_size"]
