"""Images and label maps from files and back, without losing a bit silently.

| file | becomes |
| --- | --- |
| 8 bits a sample: PNG, JPEG, BMP, TIFF | value / 255 |
| 16 bits: PNG (colour through imagecodecs), TIFF | value / 65535 |
| floating point TIFF, finite and within [0, 1] | itself, as float32 |
| 1 bit, palette | black and white, colours of the palette |
| alpha | left out; the other channels stay as they are |
| EXIF orientation | applied |
| CMYK, Lab, multi-page, 32-bit integers, … | refused, saying what to do |
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
"""Lower-case suffixes of files that are taken for images."""


def image_files(folder: Path) -> list[Path]:
    """The files of a folder that are taken for images, sorted; hidden files and subfolders are passed over.

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
        (1 or 3, H, W) float32 in [0, 1]. A file of three equal channels keeps three: whether that counts as
        grey is the colour policy's to say (`fusekit.data.colour.is_grey`).

    Raises:
        DataError: The file is missing, damaged, below 16x16, of a kind that cannot be read exactly, or
            needs a decoder that is not installed; names the path and the cause.
    """
    return torch.from_numpy(read_raster(Path(path)).values())


def read_label(path: str | Path, classes: ClassTable) -> Tensor:
    """Reads a label map: a single-channel or palette PNG (or TIFF) whose numbers are class indices.

    Returns:
        (H, W) int64; every value is an index of `classes` or its ``ignore_index``.

    Raises:
        DataError: As `read_image`; or the map has several channels, or values that are no class.
    """
    raster = read_raster(Path(path), indices=True)
    if raster.pixels.ndim != 2:
        raise DataError(
            f"{path}: has three channels; a label map has one, holding class indices",
            hint="Map the colours to class indices first.",
        )
    if raster.peak == 1.0:
        raise DataError(f"{path}: holds floating point values; a label map holds class indices")
    found = np.unique(raster.pixels)
    unknown = [int(v) for v in found if v >= len(classes) and v != classes.ignore_index]
    if unknown:
        shown = ", ".join(map(str, unknown[:10])) + (", …" if len(unknown) > 10 else "")
        raise DataError(
            f"{path}: holds values that are no class: {shown} "
            f"(classes are 0 to {len(classes) - 1}, and {classes.ignore_index} means ignore)",
            hint="Is this folder the one with the label maps, and is the class list the right one?",
        )
    return torch.from_numpy(np.ascontiguousarray(raster.pixels.astype(np.int64)))
