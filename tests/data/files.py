"""Small image files for the tests of this folder."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image


def levels(shape: tuple[int, ...], dtype: type[np.integer[Any]], seed: int = 0) -> npt.NDArray[Any]:
    """Every kind of value, the extremes among them."""
    top = np.iinfo(dtype).max
    values = np.random.default_rng(seed).integers(0, top, shape, endpoint=True).astype(dtype)
    values.flat[0], values.flat[-1] = 0, top
    return values


def save(path: Path, pixels: npt.NDArray[Any]) -> Path:
    """Writes 8-bit pixels, or 16-bit grey ones, with Pillow; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def png_bytes(
    width: int,
    height: int,
    depth: int,
    colour_type: int,
    rows: bytes,
    after: tuple[tuple[bytes, bytes], ...] = (),
) -> bytes:
    """A PNG put together by hand; `after` are (kind, body) chunks behind the pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows))]
    parts += [chunk(kind, body) for kind, body in after]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def png16_rgb(pixels: npt.NDArray[Any], **keywords: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """A 16-bit RGB PNG, made without any decoder's help."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return png_bytes(width, height, 16, 2, rows, **keywords)
