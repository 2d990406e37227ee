"""Decodes image files without losing bits: the header determines the decoder."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError

from fusekit.data import png
from fusekit.data.raster import Raster, check_size, reading
from fusekit.data.tiff import SIGNATURES as TIFF_SIGNATURES
from fusekit.data.tiff import TiffSource
from fusekit.errors import DataError

_PILLOW_FORMATS = ("BMP", "JPEG", "PNG", "TIFF")
_ORIENTATION = 0x0112
_SPREAD = {1: 255, 2: 85, 4: 17}
"""Factor by which grey samples are scaled to 0 to 255, by their number of bits."""


def read_raster(path: Path, *, indices: bool = False) -> Raster:
    """Decodes BMP, JPEG, PNG or TIFF without losing bits.

    Args:
        path: The file.
        indices: Return the numbers as stored, for label maps: palettes are not applied, samples of fewer than
            8 bits are not scaled. Lossy formats are refused.

    Raises:
        DataError: The image cannot be read exactly; the message has the path and the cause.
    """
    with reading(path):
        start = _first_bytes(path)
        if start.startswith(png.SIGNATURE):
            samples = png.samples_of(path)
            with _pillow(path) as image:
                if getattr(image, "is_animated", False):
                    raise DataError(f"{path}: is an animation; a single image is expected")
                if samples.truncated_by_pillow:
                    check_size(path, image.height, image.width)
                    return png.decode_16_bit(path, samples, _orientation(image))
            return _decode_with_pillow(path, indices=indices, stored_bits=samples.bit_depth)
        if start.startswith(TIFF_SIGNATURES):
            with tifffile.TiffFile(path) as tiff:
                source = TiffSource(path, tiff)
                if source.beyond_8_bits:
                    return source.decode()
            return _decode_with_pillow(path, indices=indices)
        if indices:
            raise DataError(
                f"{path}: is neither PNG nor TIFF; other formats do not keep class indices",
                hint="Save label maps as single-channel PNG files.",
            )
        return _decode_with_pillow(path)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation. For a PNG without EXIF data before its pixels, Pillow also searches after them."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except (OSError, SyntaxError, struct.error):  # unreadable metadata must not make the image unreadable
        return 1


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise DataError(f"{path}: is empty (0 bytes)", hint="Copy the file again.")
    return start


@contextmanager
def _pillow(path: Path) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        # Our own limit (check_size) replaces Pillow's warning about large images.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(path, formats=_PILLOW_FORMATS)
        except UnidentifiedImageError as error:
            raise DataError(
                f"{path}: is not an image that fusekit reads", hint="fusekit reads BMP, JPEG, PNG and TIFF."
            ) from error
        except Image.DecompressionBombError as error:
            raise DataError(f"{path}: declares more pixels than fusekit opens ({error})") from error
        with image:
            yield image


def _decode_with_pillow(path: Path, *, indices: bool = False, stored_bits: int = 8) -> Raster:
    with _pillow(path) as opened:
        check_size(path, opened.height, opened.width)
        opened.load()  # for a TIFF, this applies the orientation and removes the tag
        image = ImageOps.exif_transpose(opened)
        mode = image.mode
        if mode == "1":
            image = image.convert("L")
        elif mode in ("P", "PA") and not indices:
            image = image.convert("RGBA" if mode == "PA" or "transparency" in image.info else "RGB")
        elif mode.startswith("I;16"):
            return Raster(np.asarray(image).astype(np.uint16), 65535.0)
        elif mode not in ("L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa"):
            raise DataError(
                f"{path}: has colour mode {mode}; fusekit reads grey, palette and RGB",
                hint="Convert it to RGB with a program that applies its colour profile.",
            )
        pixels = np.asarray(image)
    # Alpha is separated, not blended: it may hold any value, and the colour channels are the measurement.
    alpha = None
    if pixels.ndim == 3:
        alpha = pixels[..., -1] if pixels.shape[2] in (2, 4) else None
        pixels = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., 0]
    if indices and stored_bits in _SPREAD and mode in ("1", "L"):
        pixels = pixels // _SPREAD[stored_bits]
    return Raster(pixels, 255.0, alpha)
