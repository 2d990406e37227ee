"""Lossless decoding of TIFF files with more than 8 bits per sample; files that cannot be read exactly are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

from fusekit.data.raster import IO_EXTRA, Raster, check_size, upright
from fusekit.errors import DataError

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_UNSIGNED = 1


class TiffSource:
    """The single page of an open TIFF file.

    Attributes:
        beyond_8_bits: Whether samples are not unsigned integers of at most 8 bits.
    """

    def __init__(self, path: Path, file: tifffile.TiffFile) -> None:
        if len(file.pages) != 1:
            raise DataError(
                f"{path}: contains {len(file.pages)} pages; a single image is expected",
                hint="Save the page to use as a separate file.",
            )
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)  # the first page is never a bare frame
        self._path = path
        self._page = page
        unknown = [extra for extra in page.extrasamples if extra == tifffile.EXTRASAMPLE.UNSPECIFIED]
        if unknown:
            raise DataError(
                f"{path}: has {page.samplesperpixel} samples per pixel, {len(unknown)} of them of unspecified meaning",
                hint="Save grey or RGB, with or without alpha: fusekit does not guess which channels to use.",
            )
        tag = page.tags.get("Orientation")
        self._orientation = int(tag.value) if tag is not None else 1
        self.beyond_8_bits = page.bitspersample > 8 or page.sampleformat != _UNSIGNED

    def decode(self) -> Raster:
        """Decodes the page.

        Raises:
            DataError: The sample type or colour type has no defined range, values of a floating point image are
                not in [0, 1], or the compression needs imagecodecs.
        """
        page, path = self._page, self._path
        check_size(path, page.imagelength, page.imagewidth)
        self._check_kind()
        try:
            pixels = page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            raise DataError(
                f"{path}: is compressed with {tifffile.COMPRESSION(page.compression).name}, which needs "
                "the imagecodecs package",
                hint=f"Install it ({IO_EXTRA}), or save the file without compression.",
            ) from error
        if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        pixels = upright(pixels, self._orientation)
        if pixels.dtype.kind == "f":
            pixels = _unit_range(path, pixels)
        alpha = pixels[..., -1] if page.extrasamples and pixels.ndim == 3 else None
        if page.photometric == tifffile.PHOTOMETRIC.RGB:
            pixels = pixels[..., :3]
        elif pixels.ndim == 3:
            pixels = pixels[..., 0]
        if pixels.dtype.kind == "f":
            return Raster(pixels, 1.0, alpha)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            pixels = 65535 - pixels.astype(np.uint16)
        return Raster(pixels, 65535.0, alpha)

    def _check_kind(self) -> None:
        page, photometric = self._page, tifffile.PHOTOMETRIC
        dtype = page.dtype
        if dtype is None or not (dtype.kind == "f" or (dtype == np.uint16 and page.bitspersample == 16)):
            name = f"{page.bitspersample}-bit {dtype.name if dtype is not None else 'unknown'}"
            raise DataError(
                f"{self._path}: contains {name} samples, whose range is not defined",
                hint="Convert it to 8-bit or 16-bit unsigned integers, or to floating point in [0, 1].",
            )
        colour = page.samplesperpixel - len(page.extrasamples)
        if page.photometric == photometric.RGB:
            known = colour == 3
        else:
            integer = dtype.kind != "f"
            inverted = page.photometric == photometric.MINISWHITE
            known = colour == 1 and (page.photometric == photometric.MINISBLACK or (inverted and integer))
        if not known:
            raise DataError(
                f"{self._path}: is a {photometric(page.photometric).name} TIFF of {page.samplesperpixel} "
                "samples per pixel; fusekit reads grey and RGB",
                hint="Convert it to grey or RGB.",
            )


def _unit_range(path: Path, pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    # Half precision converts to float32 exactly; double is rounded to float32, the precision that fusekit uses.
    values = pixels.astype(np.float32)
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise DataError(
            f"{path}: {bad} of its {values.size} floating point values are NaN or infinite",
            hint="Replace them before fusing.",
        )
    low, high = float(values.min()), float(values.max())
    if low < 0.0 or high > 1.0:
        raise DataError(
            f"{path}: its floating point values are in [{low:g}, {high:g}]; [0, 1] is expected",
            hint="Scale the values to [0, 1]: fusekit cannot determine which values represent black and white.",
        )
    return values
