"""Pictures beside a benchmark: fused images, sources and maps as small PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fusekit.files import write_atomically
from fusekit.report.pictures import HEAT, shrink, to_uint8

MAX_SIDE = 640
"""Longest side of a picture in pixels."""


def write_picture(image: Any, path: Path) -> None:
    """Writes an image as a PNG of 8 bits, scaled down to `MAX_SIDE` on its longer side.

    Args:
        image: ``(H, W)``, ``(1, H, W)`` or ``(3, H, W)``, an array or tensor on any device. Floating point in [0, 1],
            other values are clipped; uint8 is taken as it is.
        path: The file; missing folders are created, and an existing file is replaced.

    Raises:
        ValueError: The image has another shape.
        RunError: The file cannot be written.
    """
    _write(Image.fromarray(shrink(_levels(image), MAX_SIDE)), path)


def write_map(values: Any, path: Path, *, scale: float = 1.0) -> None:
    """Writes a map as a coloured PNG: dark blue for 0, grey in the middle, light yellow for `scale`.

    Lightness rises evenly in OKLab, so that equal steps look equal, also with colour blindness and in grey prints. NaN
    is dark blue.

    Args:
        values: ``(H, W)``, an array or tensor on any device.
        path: The file, as in `write_picture`.
        scale: Value of the lightest colour; larger values are clipped.

    Raises:
        ValueError: The map has another shape, or the scale is not positive.
        RunError: The file cannot be written.
    """
    if not scale > 0.0:
        raise ValueError(f"the scale of a map must be positive, not {scale}")
    array = np.nan_to_num(_array(values).astype(np.float64), nan=0.0)
    if array.ndim != 2:
        raise ValueError(f"a map must have the shape (H, W), not {array.shape}")
    levels = np.rint(np.clip(array / scale, 0.0, 1.0) * (len(HEAT) - 1)).astype(np.uint8)
    indexed = Image.fromarray(shrink(levels, MAX_SIDE))
    indexed.putpalette(HEAT.tobytes())  # an indexed PNG is much smaller than one in full colour
    _write(indexed, path)


def nearest_source_error(fused: Any, sources: Sequence[Any]) -> np.ndarray:
    """What is in the fused image and in none of the sources: ``min`` over the sources of ``|fused - source|``.

    Args:
        fused: Grey image, ``(H, W)`` or ``(1, H, W)``: floating point in [0, 1], or uint8.
        sources: The sources, one or more, of the same size.

    Returns:
        ``(H, W)``, float64 in [0, 1]; 0 where the fused image equals a source.

    Raises:
        ValueError: There is no source, or the images differ in size or are not grey.
    """
    image, others = _grey(fused), [_grey(source) for source in sources]
    if not others or any(other.shape != image.shape for other in others):
        raise ValueError(f"one or more sources of the shape {image.shape} are needed, got {[o.shape for o in others]}")
    return np.minimum.reduce([np.abs(image - other) for other in others])


def shared_scale(maps: Sequence[np.ndarray]) -> float:
    """Common `scale` of the error maps of a scene: the largest 99.5th percentile of the methods, at least 8/255.

    One scale makes the methods comparable; the percentile keeps single pixels from darkening all other errors, and the
    lower limit keeps rounding errors from looking like large ones.
    """
    return max([8.0 / 255.0, *(float(np.percentile(np.nan_to_num(each), 99.5)) for each in maps)])


def _array(image: Any) -> np.ndarray:
    if hasattr(image, "detach"):
        image = image.detach().cpu().numpy()
    return np.asarray(image)


def _levels(image: Any) -> np.ndarray:
    array = _array(image)
    return to_uint8(array / np.float32(255.0) if array.dtype == np.uint8 else array)


def _grey(image: Any) -> np.ndarray:
    array = _array(image)
    values = array.astype(np.float64) / (255.0 if array.dtype == np.uint8 else 1.0)
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2:
        raise ValueError(f"a grey image must have the shape (H, W) or (1, H, W), not {values.shape}")
    return values


def _write(picture: Image.Image, path: Path) -> None:
    write_atomically(path, lambda temporary: picture.save(temporary, "PNG", optimize=True))
