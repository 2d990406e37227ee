"""Fusing pictures in their own numbers: whole or in tiles, with colour, alpha and depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fusekit.data.image_writing import to_levels
from fusekit.data.raster import Raster
from fusekit.errors import UsageError
from fusekit.fusing.colouring import Colouring
from fusekit.fusing.fuse import as_sources, check_count, check_sizes, role_names, run_backbone
from fusekit.fusing.options import BitDepth, FuseOptions
from fusekit.fusing.tiling import Box, fuse_in_tiles, tile_size
from fusekit.recipe.system import FusionSystem

Advance = Callable[[int, int, str], None]
"""Shows progress within a picture: tiles done, tiles in all, a short note."""

_DEPTHS: tuple[type[np.generic], ...] = (np.uint8, np.uint16, np.float32)  # from the shallowest to the deepest


def fuse_pictures(
    system: FusionSystem,
    pictures: Sequence[Raster],
    options: FuseOptions,
    *,
    device: torch.device | str = "cpu",
    colouring: Colouring | None = None,
    out: npt.NDArray[np.generic] | None = None,
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
    if tile is None:
        box = Box(0, 0, height, width)
        fused = torch.cat([_fuse(system, images, device) for images in _planes(pictures, box, colouring)], dim=1)
        _put(out, box, options.ranged(fused), pictures, colouring)
    else:
        if options.output_range == "stretch":
            raise UsageError(
                f"range 'stretch' does not go with tiles, and {width}x{height} pixels are fused in tiles",
                hint="choose range fixed with limits, or clip; tile off fuses it whole if memory suffices",
            )
        _fuse_tiles(system, pictures, options, colouring, out, tile, device, advance)
    peak = 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)  # type: ignore[type-var]
    return Raster(out, peak, _alpha(pictures, dtype))


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


def _planes(pictures: Sequence[Raster], box: Box, colouring: Colouring) -> Iterator[list[Tensor]]:
    """What is fused: the sources, or each of their three channels."""
    images = [_values(picture, box) for picture in pictures]
    if not colouring.separate:
        yield images
        return
    for channel in range(3):
        yield [image[min(channel, image.shape[0] - 1)][None] for image in images]


def _values(picture: Raster, box: Box) -> Tensor:
    return torch.from_numpy(picture.values(slice(box.top, box.bottom), slice(box.left, box.right)))


def _fuse(system: FusionSystem, images: Sequence[Tensor], device: torch.device | str) -> Tensor:
    output, _ = run_backbone(system, as_sources(images, system.backbone.colour, device))
    return output.image.float().cpu()


def _put(
    out: npt.NDArray[np.generic], box: Box, fused: Tensor, pictures: Sequence[Raster], colouring: Colouring
) -> None:
    """Colours fused values (1, C, h, w) and rounds them into their place."""
    image = colouring.apply(fused, [_values(picture, box)[None] for picture in pictures])
    out[box.top : box.bottom, box.left : box.right] = to_levels(image[0], out.dtype)


def _fuse_tiles(
    system: FusionSystem,
    pictures: Sequence[Raster],
    options: FuseOptions,
    colouring: Colouring,
    out: npt.NDArray[np.generic],
    tile: int,
    device: torch.device | str,
    advance: Advance | None,
) -> None:
    size = pictures[0].size

    def put(box: Box, fused: Tensor) -> None:
        _put(out, box, options.ranged(fused[None]), pictures, colouring)

    if not colouring.separate:
        fuse_in_tiles(
            system,
            size,
            lambda box: [_values(picture, box) for picture in pictures],
            put,
            tile=tile,
            device=device,
            advance=advance,
        )
        return
    for channel in range(3):

        def read(box: Box, channel: int = channel) -> list[Tensor]:
            images = [_values(picture, box) for picture in pictures]
            return [image[min(channel, image.shape[0] - 1)][None] for image in images]

        def put_channel(box: Box, fused: Tensor, channel: int = channel) -> None:
            part = out[box.top : box.bottom, box.left : box.right]
            part[..., channel] = to_levels(options.ranged(fused[None])[0], out.dtype)

        fuse_in_tiles(system, size, read, put_channel, tile=tile, device=device, advance=advance)


def _alpha(pictures: Sequence[Raster], dtype: np.dtype[np.generic]) -> npt.NDArray[np.generic] | None:
    """The smallest opacity of the sources that have any: the result is there as far as all of them are."""
    given = [np.asarray(p.alpha, np.float32) / np.float32(p.peak) for p in pictures if p.alpha is not None]
    if not given:
        return None
    return to_levels(torch.from_numpy(np.minimum.reduce(given))[None], dtype)
