"""Decoding of 16-bit PNGs that Pillow would silently reduce to 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fusekit.data.raster import IO_EXTRA, Raster, upright
from fusekit.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _GREY_ALPHA, _RGB_ALPHA = 0, 4, 6
_WITH_ALPHA = (_GREY_ALPHA, _RGB_ALPHA)


class Samples(NamedTuple):
    """How a PNG stores its samples.

    Attributes:
        bit_depth: Bits per sample: 1, 2, 4, 8 or 16.
        colour_type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
    """

    bit_depth: int
    colour_type: int

    @property
    def truncated_by_pillow(self) -> bool:
        """Whether samples have 16 bits of which Pillow keeps only 8."""
        return self.bit_depth == 16 and self.colour_type != _GREY


def samples_of(path: Path) -> Samples:
    """Reads bit depth and colour type from the header, always the first chunk, because Pillow does not report them.

    Raises:
        DataError: The file ends before the end of the header.
    """
    with path.open("rb") as file:
        start = file.read(26)
    if len(start) < 26:
        raise DataError(f"{path}: the PNG is truncated within its header", hint="Copy the file again.")
    return Samples(start[24], start[25])


def decode_16_bit(path: Path, samples: Samples, orientation: int) -> Raster:
    """Decodes a 16-bit PNG with colour or alpha through imagecodecs.

    Args:
        path: The file.
        samples: How it stores its samples.
        orientation: EXIF orientation, 1 to 8.

    Raises:
        DataError: imagecodecs is not installed.
    """
    try:
        import imagecodecs
    except ImportError as error:
        raise DataError(
            f"{path}: is a PNG with 16 bits per channel and colour or alpha, of which Pillow would keep only 8",
            hint=f"Install the decoder that keeps all bits: {IO_EXTRA}; or convert the file to TIFF.",
        ) from error
    pixels = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    if pixels.dtype != np.uint16:
        raise DataError(f"{path}: is a 16-bit PNG, but was decoded as {pixels.dtype}")
    pixels = upright(pixels, orientation)
    alpha = pixels[..., -1] if samples.colour_type in _WITH_ALPHA else None
    return Raster(pixels[..., 0] if samples.colour_type == _GREY_ALPHA else pixels[..., :3], 65535.0, alpha)
