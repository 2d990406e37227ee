"""Decoded images in their native dtype, and the checks that all decoders share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fusekit.errors import DataError, FusekitError

MIN_SIDE = 16
"""Smallest height and width of an image that fusekit accepts."""

MAX_PIXELS = 1 << 28
"""Largest number of pixels of an image; a file that declares more is treated as a decompression bomb."""

IO_EXTRA = "pip install 'image-fusekit[io]'"


@dataclass(frozen=True)
class Raster:
    """A decoded image in its native dtype, orientation applied.

    Attributes:
        pixels: (H, W) or (H, W, 3): uint8, uint16 or float32.
        peak: Value that represents 1.0: 255, 65535, or 1 for floating point.
        alpha: Opacity, (H, W) with the same dtype and peak; None if the image has no alpha channel.
    """

    pixels: npt.NDArray[np.generic]
    peak: float
    alpha: npt.NDArray[np.generic] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def values(
        self,
        rows: slice = slice(None),
        columns: slice = slice(None),
        *,
        out: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.float32]:
        """A part of the image as (1 or 3, h, w) float32 in [0, 1], written to `out` if that is given.

        float32 represents every 16-bit level, and one division rounds only once, so the levels can be recovered
        exactly.
        """
        part = self.pixels[rows, columns]
        planes = part[None] if part.ndim == 2 else part.transpose(2, 0, 1)
        if out is None:
            out = np.empty(planes.shape, np.float32)
        return np.divide(planes, np.float32(self.peak), out=out, dtype=np.float32, casting="same_kind")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Context manager that turns any exception of a decoder into a `DataError` with path and cause.

    Decoders of damaged files raise many types of exceptions (OSError, SyntaxError, struct.error, zlib.error, …), so
    all are caught, except MemoryError, which is not caused by the file.
    """
    try:
        yield
    except (FusekitError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: is a folder, not an image file") from error
    except PermissionError as error:
        raise DataError(f"{path}: cannot be read by this user (permission denied)") from error
    except Exception as error:
        cause = str(error) or type(error).__name__
        raise DataError(
            f"{path}: cannot be decoded ({cause})", hint="The file is damaged or truncated; copy it again."
        ) from error


def check_size(path: Path, height: int, width: int) -> None:
    """Refuses images that are too small to fuse or implausibly large.

    Raises:
        DataError: A side is shorter than 16 pixels, or the image has more than 2**28 pixels.
    """
    if min(height, width) < MIN_SIDE:
        raise DataError(f"{path}: is {height}x{width} (height x width), but at least 16x16 is required")
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{path}: declares {height}x{width} pixels, more than the {MAX_PIXELS} that fusekit opens",
            hint="If the image really has this size, cut it into parts first.",
        )


def upright(pixels: npt.NDArray[np.generic], orientation: int) -> npt.NDArray[np.generic]:
    """Applies an EXIF/TIFF orientation (1 to 8) to an (H, W, …) array; other values count as 1."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def upright_size(height: int, width: int, orientation: int) -> tuple[int, int]:
    """Size after `upright`."""
    return (width, height) if orientation in (5, 6, 7, 8) else (height, width)
