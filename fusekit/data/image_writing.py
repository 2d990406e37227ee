"""Atomic writing of images as PNG or TIFF."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import tifffile
import torch
from PIL import Image
from torch import Tensor

from fusekit.data.raster import IO_EXTRA, Raster
from fusekit.errors import RunError, UsageError
from fusekit.files import write_atomically

WRITTEN_SUFFIXES = (".png", ".tif", ".tiff")
"""Lower-case suffixes of the supported output formats; other formats would lose measured values."""


def write_image(path: str | Path, image: Tensor, *, bit_depth: Literal[8, 16] = 8) -> None:
    """Writes a PNG or TIFF atomically: readers see the complete new file or the previous one, also after a crash.

    Args:
        path: Path of the file, ``.png``, ``.tif`` or ``.tiff``. Missing parent folders are created.
        image: (1 or 3, H, W) or (H, W) floating point; values are clipped to [0, 1] and rounded to the nearest
            level.
        bit_depth: Bits per sample. 16-bit colour PNG needs imagecodecs; TIFF does not.

    Raises:
        UsageError: The suffix, shape or bit depth is not one of the above, or imagecodecs is missing.
        RunError: The image is not finite, or the file cannot be written; an existing file is kept.
    """
    path = Path(path)
    check_suffix(path)
    write_raster(path, Raster(_levels(path, image, bit_depth), float((1 << bit_depth) - 1)))


def write_raster(path: Path, raster: Raster) -> None:
    """Writes an image in its native dtype, including alpha, as PNG or TIFF, atomically.

    Args:
        path: Path of the file, ``.png``, ``.tif`` or ``.tiff``. Missing parent folders are created.
        raster: uint8 or uint16; float32 for TIFF.

    Raises:
        UsageError: The suffix is not supported, the format does not support the dtype, or imagecodecs is missing.
        RunError: The file cannot be written; an existing file is kept.
    """
    body = encode(path, raster)
    write_atomically(path, lambda temporary: _fill(temporary, body))


def encode(path: Path, raster: Raster) -> bytes:
    """The bytes of the file that `write_raster` writes.

    Raises:
        UsageError: As `write_raster`.
    """
    suffix = check_suffix(path)
    pixels = raster.pixels
    if raster.alpha is not None:
        pixels = np.dstack([pixels, raster.alpha])
    if suffix == ".png":
        return _png(path, np.ascontiguousarray(pixels))
    return _tiff(pixels, alpha=raster.alpha is not None)


def check_suffix(path: Path) -> str:
    """Returns the suffix in lower case, if its format is supported.

    Raises:
        UsageError: The format is not supported.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITTEN_SUFFIXES:
        raise UsageError(
            f"{path}: images are written as PNG or TIFF, not as {suffix or 'a file without suffix'!r}",
            hint="Use the suffix .png, .tif or .tiff.",
        )
    return suffix


def _fill(temporary: Path, body: bytes) -> None:
    temporary.write_bytes(body)


def _levels(path: Path, image: Tensor, bit_depth: int) -> npt.NDArray[np.generic]:
    """Converts an image to (H, W) or (H, W, 3) integers of a bit depth."""
    if bit_depth not in (8, 16):
        raise UsageError(f"{path}: bit depth {bit_depth} is not supported; choose 8 or 16")
    if image.ndim == 2:
        image = image[None]
    if image.ndim != 3 or image.shape[0] not in (1, 3) or not image.is_floating_point():
        raise UsageError(
            f"{path}: an image must be (1 or 3, H, W) floating point, not {tuple(image.shape)} {image.dtype}"
        )
    if not torch.isfinite(image).all():
        raise RunError(f"{path}: not written, because the image contains NaN or infinite values")
    return to_levels(image, np.dtype(np.uint8 if bit_depth == 8 else np.uint16))


def to_levels(image: Tensor, dtype: np.dtype[np.generic]) -> npt.NDArray[np.generic]:
    """Converts (1 or 3, H, W) in [0, 1] to (H, W) or (H, W, 3) of a dtype; integers are rounded to the nearest."""
    planes = image.detach().cpu()
    if dtype.kind == "f":
        values = planes.permute(1, 2, 0).numpy().astype(dtype)
    else:
        # float64, because float32 arithmetic could change how a value near a 16-bit rounding boundary is rounded
        levels = (planes.to(torch.float64).clamp_(0, 1) * np.iinfo(dtype).max).round_()  # type: ignore[type-var]
        values = levels.permute(1, 2, 0).numpy().astype(dtype)
    values = np.ascontiguousarray(values)
    return values[..., 0] if values.shape[2] == 1 else values


def _png(path: Path, levels: npt.NDArray[np.generic]) -> bytes:
    if levels.dtype == np.uint16 and levels.ndim == 3:
        try:
            import imagecodecs
        except ImportError as error:
            raise UsageError(
                f"{path}: writing PNG with 16 bits and colour or alpha needs the imagecodecs package",
                hint=f"Install it ({IO_EXTRA}), or write .tif.",
            ) from error
        return bytes(imagecodecs.png_encode(levels))
    if levels.dtype.kind == "f":
        raise UsageError(f"{path}: PNG does not support floating point values", hint="Write .tif, or 16 bits.")
    body = io.BytesIO()
    Image.fromarray(levels).save(body, format="PNG")
    return body.getvalue()


def _tiff(levels: npt.NDArray[np.generic], *, alpha: bool) -> bytes:
    body = io.BytesIO()
    colours = (levels.shape[2] if levels.ndim == 3 else 1) - alpha
    tifffile.imwrite(
        body,
        levels,
        photometric="rgb" if colours == 3 else "minisblack",
        planarconfig="contig" if levels.ndim == 3 else None,
        extrasamples=["unassalpha"] if alpha else None,
        compression="zlib",  # supported by tifffile without imagecodecs
        metadata=None,
        software=False,
    )
    return body.getvalue()
