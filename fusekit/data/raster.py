"""Pixels as a file holds them, and the rules that every decoder shares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fusekit.errors import DataError, FusekitError

MIN_SIDE = 16
"""Smallest height and width of an image that fusekit takes."""

MAX_PIXELS = 1 << 28
"""Largest picture opened; a small file that claims more is taken for a decompression bomb."""

IO_EXTRA = "pip install 'image-fusekit[io]'"


@dataclass(frozen=True)
class Raster:
    """An upright picture in its own numbers.

    Attributes:
        pixels: (H, W) or (H, W, 3): uint8, uint16 or float32.
        peak: Value that stands for 1.0: 255, 65535, or 1 for floating point.
        alpha: Opacity, (H, W) in the same numbers; None where the picture has none.
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
        """A part of the picture as (1 or 3, h, w) float32 in [0, 1], in `out` if that is given.

        float32 holds every 16-bit level, and one division rounds once: the levels can be recovered exactly.
        """
        part = self.pixels[rows, columns]
        planes = part[None] if part.ndim == 2 else part.transpose(2, 0, 1)
        if out is None:
            out = np.empty(planes.shape, np.float32)
        return np.divide(planes, np.float32(self.peak), out=out, dtype=np.float32, casting="same_kind")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns whatever a decoder raises into a `DataError` with path and cause.

    Decoders of damaged files raise anything (OSError, SyntaxError, struct.error, zlib.error, …), hence the
    wide net; running out of memory says nothing about the file and passes.
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
        raise DataError(f"{path}: may not be read by this user (permission denied)") from error
    except Exception as error:
        cause = str(error) or type(error).__name__
        raise DataError(
            f"{path}: cannot be decoded ({cause})", hint="The file is damaged or cut short; copy it again."
        ) from error


def check_size(path: Path, height: int, width: int) -> None:
    """Refuses pictures that are too small to fuse or too large to be honest.

    Raises:
        DataError: A side is below 16 pixels, or there are more than 2**28 pixels.
    """
    if min(height, width) < MIN_SIDE:
        raise DataError(f"{path}: is {height}x{width} (height x width); at least 16x16 is needed")
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{path}: claims {height}x{width} pixels, more than the {MAX_PIXELS} that fusekit opens",
            hint="If the picture is real, cut it into parts first.",
        )


def upright(pixels: npt.NDArray[np.generic], orientation: int) -> npt.NDArray[np.generic]:
    """Undoes an EXIF/TIFF orientation (1 to 8) of an (H, W, …) array; other values count as 1."""
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
