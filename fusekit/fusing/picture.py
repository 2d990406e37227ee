"""Fusing pictures in their own numbers: whole or in tiles, with colour, alpha and depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fusekit.data.image_writing import to_levels
from fusekit.data.raster import Raster
from fusekit.errors import UsageError
from fusekit.fusing.colouring import Colouring, of_channel
from fusekit.fusing.fuse import as_sources, check_count, check_sizes, role_names, run_backbone
from fusekit.fusing.options import BitDepth, FuseOptions
from fusekit.fusing.tiling import Box, fuse_in_tiles, tile_size
from fusekit.progress import Advance
from fusekit.recipe.system import FusionSystem

_DEPTHS: tuple[type[np.generic], ...] = (np.uint8, np.uint16, np.float32)  # from the shallowest to the deepest


def fuse_pictures(
    system: FusionSystem,
    pictures: Sequence[Raster],
    options: FuseOptions,
    *,
    device: torch.device | str = "cpu",
    colouring: Colouring | None = None,
    out: npt.NDArray[np.generic] | None = None,
    buffers: Sequence[npt.NDArray[np.float32]] | None = None,
    advance: Advance | None = None,
) -> Raster:
    """Fuses the pictures of one scene.

    Large pictures are never held as floating point: each tile is converted, fused, coloured and rounded by itself.

    Args:
        system: In evaluation mode, on `device`.
        pictures: One per source, of one size.
        options: Range, colour, depth and tiles of the result.
        device: Where the system is.
        colouring: A decision about colour that was made before, for pictures of a stream.
        out: An array to put the pixels in, of the result's shape and depth.
        buffers: Memory for the values of each source, (1 or 3, H, W), where they are fused whole.
        advance: Told about tiles.

    Returns:
        The fused picture. Where sources have alpha it has the smallest of theirs.

    Raises:
        DataError: The number of pictures is wrong, or sizes differ.
        UsageError: Options that the model or the size does not allow.
    """
    check_count(system, len(pictures))
    check_sizes([picture.size for picture in pictures])
    roles, (height, width) = role_names(system, len(pictures)), pictures[0].size
    if colouring is None:
        flags = [in_colour(picture) for picture in pictures]
        colouring = Colouring.choose(options.colour, flags, roles, system.backbone.colour)
    dtype = depth_of(pictures, options.bit_depth)
    if out is None:
        out = np.empty((height, width) if colouring.channels == 1 else (height, width, 3), dtype)

    tile = tile_size(system, height, width, options.tile)
    if tile is not None and options.output_range == "stretch":
        raise UsageError(
            f"range 'stretch' does not go with tiles, and {width}x{height} pixels are fused in tiles",
            hint="choose range fixed with limits, or clip; tile off fuses it whole if memory suffices",
        )
    job = _Job(system, pictures, options, colouring, out, device)
    if tile is None:
        job.whole(buffers)
    else:
        job.in_tiles(tile, advance)
    peak = 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)  # type: ignore[type-var]
    return Raster(out, peak, _alpha(pictures, dtype))


def fuse_values(
    system: FusionSystem,
    images: Sequence[Tensor],
    options: FuseOptions,
    colouring: Colouring,
    device: torch.device | str,
) -> Tensor:
    """Fuses values at once.

    Args:
        system: In evaluation mode, on `device`.
        images: One per source, (B, 1 or 3, H, W) in [0, 1].
        options: The range.
        colouring: What is fused, and which colour it gets.
        device: Where the system is.

    Returns:
        (B, channels of `colouring`, H, W) in [0, 1], on the host.
    """
    planes = []
    for channel in colouring.fused_channels:
        sources = as_sources(of_channel(images, channel), system.backbone.colour, device)
        planes.append(run_backbone(system, sources)[0].image.float().cpu())
    return colouring.apply(options.ranged(torch.cat(planes, dim=1)), [image.cpu() for image in images])


def in_colour(picture: Raster) -> bool:
    """Whether a picture has colour: three channels that are not equal everywhere."""
    pixels = picture.pixels
    if pixels.ndim == 2:
        return False
    return not (np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 0], pixels[..., 2]))


def depth_of(pictures: Sequence[Raster], wanted: BitDepth) -> np.dtype[np.generic]:
    """The dtype of the result: what is wanted, or that of the deepest source."""
    if wanted != "keep":
        return np.dtype(np.uint8 if wanted == 8 else np.uint16)
    return np.dtype(_DEPTHS[max(_DEPTHS.index(picture.pixels.dtype.type) for picture in pictures)])


def storable(options: FuseOptions, pictures: Sequence[Raster], suffix: str) -> FuseOptions:
    """The options with a depth that a file format holds: floating point goes into PNG with 16 bits."""
    if suffix.lower() == ".png" and depth_of(pictures, options.bit_depth).kind == "f":
        return replace(options, bit_depth=16)
    return options


@dataclass(frozen=True)
class _Job:
    """The pictures of one scene on their way into `out`."""

    system: FusionSystem
    pictures: Sequence[Raster]
    options: FuseOptions
    colouring: Colouring
    out: npt.NDArray[np.generic]
    device: torch.device | str

    def whole(self, buffers: Sequence[npt.NDArray[np.float32]] | None) -> None:
        """Fuses all pixels at once."""
        outs: Sequence[npt.NDArray[np.float32] | None] = buffers or [None] * len(self.pictures)
        images = [torch.from_numpy(p.values(out=out))[None] for p, out in zip(self.pictures, outs, strict=True)]
        fused = fuse_values(self.system, images, self.options, self.colouring, self.device)
        self.out[...] = to_levels(fused[0], self.out.dtype)

    def in_tiles(self, tile: int, advance: Advance | None) -> None:
        """Fuses tile by tile, and where channels are fused separately, one channel after the other."""
        for channel in self.colouring.fused_channels:
            fuse_in_tiles(
                self.system,
                self.pictures[0].size,
                partial(self.read, channel=channel),
                partial(self.put, channel=channel),
                tile=tile,
                device=self.device,
                advance=advance,
            )

    def read(self, box: Box, channel: int | None) -> list[Tensor]:
        """The sources' values in a box, (1 or 3, h, w) each; of one channel (1, h, w)."""
        rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
        return of_channel([torch.from_numpy(picture.values(rows, columns)) for picture in self.pictures], channel)

    def put(self, box: Box, fused: Tensor, channel: int | None) -> None:
        """Brings fused values (C, h, w) of a box into range, colours and rounds them, into place or one channel."""
        place = self.out[box.top : box.bottom, box.left : box.right]
        fused = self.options.ranged(fused[None])
        if channel is not None:
            place[..., channel] = to_levels(fused[0], self.out.dtype)
            return
        images = self.read(box, None) if self.colouring.lenders else []
        place[...] = to_levels(self.colouring.apply(fused[0], images), self.out.dtype)


def _alpha(pictures: Sequence[Raster], dtype: np.dtype[np.generic]) -> npt.NDArray[np.generic] | None:
    """The smallest opacity of the sources that have any: the result is there as far as all of them are."""
    given = [np.asarray(p.alpha, np.float32) / np.float32(p.peak) for p in pictures if p.alpha is not None]
    if not given:
        return None
    return to_levels(torch.from_numpy(np.minimum.reduce(given))[None], dtype)
