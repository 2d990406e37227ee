"""The 16-bit PNGs that Pillow would quietly open with 8 bits."""

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
        depth: Bits of a sample: 1, 2, 4, 8 or 16.
        colour_type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
    """

    depth: int
    colour_type: int

    @property
    def deep(self) -> bool:
        """16 bits in a form of which Pillow keeps 8."""
        return self.depth == 16 and self.colour_type != _GREY


def samples_of(path: Path) -> Samples:
    """Reads the two bytes of the header, always its first chunk, that Pillow does not tell.

    Raises:
        DataError: The file ends before them.
    """
    with path.open("rb") as file:
        start = file.read(26)
    if len(start) < 26:
        raise DataError(f"{path}: the PNG ends before its header does", hint="Copy the file again.")
    return Samples(start[24], start[25])


def decode_deep(path: Path, samples: Samples, orientation: int) -> Raster:
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
            f"{path}: is a PNG with 16 bits a channel and colour or alpha, of which Pillow would keep only 8",
            hint=f"Install the decoder that keeps them all: {IO_EXTRA}; or convert the file to TIFF.",
        ) from error
    pixels = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    if pixels.dtype != np.uint16:
        raise DataError(f"{path}: is a 16-bit PNG, but was decoded as {pixels.dtype}")
    pixels = upright(pixels, orientation)
    alpha = pixels[..., -1] if samples.colour_type in _WITH_ALPHA else None
    return Raster(pixels[..., 0] if samples.colour_type == _GREY_ALPHA else pixels[..., :3], 65535.0, alpha)
