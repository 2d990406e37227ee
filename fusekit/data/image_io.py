"""Reading of images and label maps; precision is never lost silently.

| file | result |
| --- | --- |
| 8 bits per sample: PNG, JPEG, BMP, TIFF | value / 255 |
| 16 bits: PNG (colour through imagecodecs), TIFF | value / 65535 |
| floating point TIFF, finite and within [0, 1] | the value, as float32 |
| 1 bit, palette | black and white, colours of the palette |
| alpha | dropped; the other channels are not changed |
| EXIF orientation | applied |
| CMYK, Lab, multi-page, 32-bit integers, … | refused, with advice |
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fusekit.data.decoding import read_raster
from fusekit.data.image_writing import write_image
from fusekit.errors import DataError
from fusekit.interfaces.context import ClassTable

__all__ = ["IMAGE_SUFFIXES", "image_files", "read_image", "read_label", "write_image"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
"""Lower-case suffixes of files that are treated as images."""


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder by suffix, sorted; hidden files and subfolders are skipped.

    Raises:
        OSError: The folder cannot be listed.
    """
    return [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
    ]


def read_image(path: str | Path) -> Tensor:
    """Reads an image.

    Returns:
        (1 or 3, H, W) float32 in [0, 1]. A file of three equal channels keeps three; the colour policy decides
        whether it counts as grey (`fusekit.data.colour.is_grey`).

    Raises:
        DataError: The file is missing, damaged, smaller than 16x16, of a type that cannot be read exactly, or
            needs a decoder that is not installed; the message has the path and the cause.
    """
    return torch.from_numpy(read_raster(Path(path)).values())


def read_label(path: str | Path, classes: ClassTable) -> Tensor:
    """Reads a label map: a single-channel or palette PNG (or TIFF) whose values are class indices.

    Returns:
        (H, W) int64; every value is an index of `classes` or its ``ignore_index``.

    Raises:
        DataError: As `read_image`; or the map has several channels, or values that are not classes.
    """
    raster = read_raster(Path(path), indices=True)
    if raster.pixels.ndim != 2:
        raise DataError(
            f"{path}: has three channels; a label map must have one channel of class indices",
            hint="Map the colours to class indices first.",
        )
    if raster.peak == 1.0:
        raise DataError(f"{path}: contains floating point values; a label map must contain class indices")
    values = np.unique(raster.pixels)
    unknown = [int(v) for v in values if v >= len(classes) and v != classes.ignore_index]
    if unknown:
        shown = ", ".join(map(str, unknown[:10])) + (", …" if len(unknown) > 10 else "")
        raise DataError(
            f"{path}: contains values that are not classes: {shown} "
            f"(classes are 0 to {len(classes) - 1}, and {classes.ignore_index} means ignore)",
            hint="Check that this is the folder of the label maps, and that the class list is the right one.",
        )
    return torch.from_numpy(np.ascontiguousarray(raster.pixels.astype(np.int64)))
