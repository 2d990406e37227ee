"""PNG headers, and the 16-bit PNGs that Pillow would quietly open with 8 bits."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from fusekit.data.raster import IO_EXTRA, Raster, check_size, upright
from fusekit.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _GREY_ALPHA, _RGB_ALPHA = 0, 4, 6
_WITH_ALPHA = (_GREY_ALPHA, _RGB_ALPHA)
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class PngHeader:
    """What a PNG says of itself before any pixel is decoded.

    Attributes:
        height: Rows as stored.
        width: Columns as stored.
        depth: Bits of a sample: 1, 2, 4, 8 or 16.
        colour_type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
        orientation: EXIF orientation, 1 to 8.
        animated: Whether it holds several frames.
    """

    height: int
    width: int
    depth: int
    colour_type: int
    orientation: int
    animated: bool

    @property
    def deep(self) -> bool:
        """16 bits in a form of which Pillow keeps 8."""
        return self.depth == 16 and self.colour_type != _GREY


def read_header(path: Path, file: BinaryIO) -> PngHeader:
    """Walks over the chunks, skipping the pixels (EXIF may come after them).

    Raises:
        DataError: The file ends before its header does.
    """
    file.seek(len(SIGNATURE))
    header: tuple[int, ...] | None = None
    orientation, animated = 1, False
    while len(start := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        if kind in (b"IHDR", b"eXIf"):
            body = file.read(length)
            if kind == b"eXIf":
                orientation = _orientation(body)
            elif len(body) >= 13:
                header = struct.unpack(">IIBB", body[:10])
        else:
            animated |= kind == b"acTL"
            file.seek(length, 1)
        file.seek(4, 1)  # the checksum
    if header is None:
        raise DataError(f"{path}: the PNG ends before its header does", hint="Copy the file again.")
    width, height, depth, colour_type = header
    return PngHeader(height, width, depth, colour_type, orientation, animated)


def _orientation(body: bytes) -> int:
    exif = Image.Exif()
    try:
        exif.load(body)
    except (OSError, SyntaxError, struct.error):  # unreadable metadata must not cost the picture
        return 1
    return int(exif.get(_ORIENTATION, 1))


def decode_deep(path: Path, header: PngHeader) -> Raster:
    """Decodes a 16-bit PNG with colour or alpha through imagecodecs.

    Raises:
        DataError: imagecodecs is not installed.
    """
    check_size(path, header.height, header.width)
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
    pixels = upright(pixels, header.orientation)
    alpha = pixels[..., -1] if header.colour_type in _WITH_ALPHA else None
    return Raster(pixels[..., 0] if header.colour_type == _GREY_ALPHA else pixels[..., :3], 65535.0, alpha)
