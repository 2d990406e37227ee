"""Fusing a large image in tiles, in memory that does not grow with its area.

A tile is computed in a window that includes all surrounding pixels on which the tile depends. Global statistics of the
network and the guidance of the task network are computed beforehand and shared by all tiles: then a tile's pixels are
the same function of the image in whichever window they are computed, and no seams appear. Only for a backbone that
does not declare its reach, tiles overlap and are blended.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fusekit.data.raster import MIN_SIDE
from fusekit.errors import UsageError
from fusekit.fusing.scenes import as_sources, check_finite, check_sizes
from fusekit.fusing.tiling.boxes import Box, sample_boxes, tiles_of, widened
from fusekit.fusing.tiling.joining import Joiner
from fusekit.fusing.tiling.reduced import read_reduced, reduced_size
from fusekit.fusing.tiling.shared_statistics import SharedSums
from fusekit.fusing.tiling.tile_guidance import RecordedGuidance, TileGuidance
from fusekit.interfaces.types import Sources
from fusekit.model.system import FusionSystem
from fusekit.progress import Advance
from fusekit.recipe.fuse_options import SMALLEST_TILE

SAMPLE = 1 << 18
"""Pixels from which sums over an image are estimated if this costs less than summing over all pixels."""

PATCH = 16
"""Side of the boxes in that sample: at equal cost, many small boxes represent an image better than few large ones."""

GUIDANCE_PIXELS = 640 * 480
"""Size at which the task network sees the image: that of the images with which such networks are trained."""

# For a backbone that does not declare its reach or its stride.
UNKNOWN_REACH = 64
UNKNOWN_STRIDE = 32
FADE = 32


def fuse_in_tiles(
    system: FusionSystem,
    size: tuple[int, int],
    read: Callable[[Box], Sequence[Tensor]],
    write: Callable[[Box, Tensor], None],
    *,
    tile: int,
    device: torch.device | str = "cpu",
    sample: int | None = SAMPLE,
    advance: Advance | None = None,
) -> None:
    """Fuses the images of one scene tile by tile; needs memory for a window and for a row of tiles.

    Args:
        system: The system, in evaluation mode, on `device`; not compiled.
        size: Height and width of the images, 16 or more each.
        read: Returns the sources' pixels of a box, one per role, each (1 or 3, h, w) float32 in [0, 1]. The same box
            may be requested several times, and boxes overlap.
        write: Receives each box of the fused luminance (for an ``rgb`` backbone, of the image) once, from top to
            bottom: (1 or 3, h, w) in [0, 1], in full width, on the host.
        tile: Largest side of a tile.
        device: Device of the system.
        sample: Number of pixels from which a network's sums over the whole image are estimated, unless using all
            pixels costs no more. None uses all pixels, which gives the untiled result and takes about four times as
            long with `refusion.network`.
        advance: Progress callback: (windows done, all windows, their purpose). Sums are measured one after the other,
            so their count restarts a few times.

    Raises:
        DataError: The images are too small, or values are not finite.
        UsageError: Tiles are too small.
    """
    check_sizes([size])
    if tile < SMALLEST_TILE:
        raise UsageError(f"tiles of {tile} pixels are too small; the minimum is {SMALLEST_TILE}")
    with torch.no_grad():
        _Job(system, size, read, tile, torch.device(device)).run(write, sample, advance or (lambda *_: None))


class _Job:
    """Fusion of one image in tiles."""

    def __init__(
        self,
        system: FusionSystem,
        size: tuple[int, int],
        read: Callable[[Box], Sequence[Tensor]],
        tile: int,
        device: torch.device,
    ) -> None:
        self.system = system
        self.size = size
        self.read = read
        self.device = device
        backbone = system.backbone
        reach_known = backbone.reach is not None
        self.reach = backbone.reach if backbone.reach is not None else UNKNOWN_REACH
        self.stride = backbone.stride if reach_known else max(backbone.stride, UNKNOWN_STRIDE)
        self.fade = 0 if reach_known else min(FADE, tile // 4)
        self.tiles = tiles_of(size, tile, self.stride)
        self.guidance: RecordedGuidance | None = None
        self.sums = SharedSums()

    def run(self, write: Callable[[Box, Tensor], None], sample: int | None, advance: Advance) -> None:
        """Computes guidance and statistics of the whole image, then fuses the tiles."""
        self.guidance = self._record_guidance()
        self._measure(sample, advance)
        joiner = Joiner(self.size, self.fade, write)
        for number, tile in enumerate(self.tiles):
            area = joiner.area(tile)
            window = widened(area, self.reach, self.size, self.stride)
            with self.sums.substituted():
                fused = self._fuse(window)
            joiner.add(tile, area.inside(window).of(fused).float().cpu())
            advance(number + 1, len(self.tiles), "tiles")

    def _measure(self, sample: int | None, advance: Advance) -> None:
        """Measures the sums over the whole image, if the backbone uses any."""
        parts = self._in_windows(self.tiles)
        if sample is not None:
            # Patches are at least as large as the margin of their windows; even so, most of a window is margin.
            patches = self._in_windows(sample_boxes(self.size, sample, max(PATCH, self.reach), self.stride))
            if sum(window.area for _, window in patches) < sum(window.area for _, window in parts):
                parts = patches
        runs = itertools.count()

        def forward(window: Box) -> Tensor:
            run = next(runs)
            if run:  # the first run only determines whether the network uses any sums
                advance(run % len(parts), len(parts), "sums over the image")
            return self._fuse(window)

        self.sums.measure(forward, parts, self.size[0] * self.size[1])

    def _in_windows(self, boxes: Sequence[Box]) -> list[tuple[Box, Box]]:
        """Each box with the window in which to compute it."""
        return [(box, widened(box, self.reach, self.size, self.stride)) for box in boxes]

    def _record_guidance(self) -> RecordedGuidance | None:
        """Fuses the image at a reduced size and records the guidance that the backbone uses."""
        if not self.system.guided:
            return None
        small = read_reduced(self.size, self.read, reduced_size(self.size, GUIDANCE_PIXELS, MIN_SIDE))
        sources = self._as_sources(small)
        guidance = self.system.guidance(sources)
        if guidance is None:
            return None
        recorded = RecordedGuidance(guidance)
        self.system.backbone(sources, guidance=recorded)
        return recorded

    def _fuse(self, window: Box) -> Tensor:
        """The fused pixels of a window, (C, h, w)."""
        guidance = TileGuidance(self.guidance, window, self.size) if self.guidance is not None else None
        fused: Tensor = self.system.backbone(self._as_sources(self.read(window)), guidance=guidance).image[0]
        return fused

    def _as_sources(self, images: Sequence[Tensor]) -> Sources:
        """Luminance, or RGB with grey repeated, as the backbone takes it."""
        check_finite(self.system, images)
        return as_sources(images, self.system.backbone.colour, self.device)
