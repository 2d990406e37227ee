"""Writing images: whole or not at all."""

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

from fusekit.data.raster import IO_EXTRA
from fusekit.errors import RunError, UsageError
from fusekit.files import write_atomically


def write_image(path: str | Path, image: Tensor, *, bit_depth: Literal[8, 16] = 8) -> None:
    """Writes a PNG or TIFF atomically: a reader, or a crash, sees the whole file or the one before it.

    Args:
        path: Where to; ``.png``, ``.tif`` or ``.tiff``. Folders on the way are made.
        image: (1 or 3, H, W) or (H, W) floating point; values outside [0, 1] are clipped, and rounded to
            the nearest level.
        bit_depth: Bits of a sample. 16-bit colour PNG needs imagecodecs; TIFF does not.

    Raises:
        UsageError: The suffix, shape or depth is not one of the above, or imagecodecs is needed.
        RunError: The image is not finite, or the disk refuses it; what was there before is kept.
    """
    path = Path(path)
    levels = _levels(path, image, bit_depth)
    suffix = path.suffix.lower()
    if suffix == ".png":
        body = _png(path, levels)
    elif suffix in (".tif", ".tiff"):
        body = _tiff(levels)
    else:
        raise UsageError(
            f"{path}: images are written as PNG or TIFF, not as {suffix or 'a file without suffix'!r}",
            hint="Name it .png, .tif or .tiff.",
        )

    def fill(temporary: Path) -> None:
        temporary.write_bytes(body)

    write_atomically(path, fill)


def _levels(path: Path, image: Tensor, bit_depth: int) -> npt.NDArray[np.generic]:
    """(H, W) or (H, W, 3) integers of the depth."""
    if bit_depth not in (8, 16):
        raise UsageError(f"{path}: bit depth {bit_depth} is not known; it is 8 or 16")
    if image.ndim == 2:
        image = image[None]
    if image.ndim != 3 or image.shape[0] not in (1, 3) or not image.is_floating_point():
        raise UsageError(f"{path}: an image is (1 or 3, H, W) floating point, not {tuple(image.shape)} {image.dtype}")
    # float64, because float32 arithmetic could move a value that sits next to a 16-bit rounding edge
    values = image.detach().to("cpu", torch.float64)
    if not torch.isfinite(values).all():
        raise RunError(f"{path}: not written, because the image has NaN or infinite values")
    peak = (1 << bit_depth) - 1
    rounded = (values.clamp(0, 1) * peak).round().permute(1, 2, 0).numpy()
    levels = np.ascontiguousarray(rounded.astype(np.uint8 if bit_depth == 8 else np.uint16))
    return levels[..., 0] if levels.shape[2] == 1 else levels


def _png(path: Path, levels: npt.NDArray[np.generic]) -> bytes:
    if levels.dtype == np.uint16 and levels.ndim == 3:
        try:
            import imagecodecs
        except ImportError as error:
            raise UsageError(
                f"{path}: writing colour PNG with 16 bits needs the imagecodecs package",
                hint=f"Install it ({IO_EXTRA}), or write .tif.",
            ) from error
        return bytes(imagecodecs.png_encode(levels))
    body = io.BytesIO()
    Image.fromarray(levels).save(body, format="PNG")
    return body.getvalue()


def _tiff(levels: npt.NDArray[np.generic]) -> bytes:
    body = io.BytesIO()
    photometric = "rgb" if levels.ndim == 3 else "minisblack"
    # zlib is the compression that tifffile masters without imagecodecs
    tifffile.imwrite(body, levels, photometric=photometric, compression="zlib", metadata=None, software=False)
    return body.getvalue()
