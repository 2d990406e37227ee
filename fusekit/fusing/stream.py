"""Fusion of camera frames, one after the other, with the same settings and buffers for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt

from fusekit.data.raster import Raster
from fusekit.errors import DataError, UsageError
from fusekit.fusing.engine import Colouring, Engine
from fusekit.fusing.scenes import RasterScene

Pixels = npt.NDArray[Any]
"""(H, W) or (H, W, 3), uint8 or uint16."""


class FusionStream:
    """Fuses frames of one size and dtype; created by `FusionModel.stream`.

    Choices that could differ between frames are made at the first one. The sources that provide chroma are chosen by
    shape, not by content, so that a colour camera that starts in the dark still counts as colour. Every result is
    written into the same array.

    Args:
        engine: Engine that fuses the frames.
        lock: Held while a frame is fused.

    Raises:
        UsageError: The range is ``stretch``, with which frames would flicker.
    """

    def __init__(self, engine: Engine, lock: AbstractContextManager[Any]) -> None:
        if engine.options.range == "stretch":
            raise UsageError(
                "range 'stretch' would flicker: every frame has another minimum and maximum",
                hint="choose range fixed with limits, or clip",
            )
        self._engine, self._lock = engine, lock
        self._kind: list[tuple[tuple[int, ...], np.dtype[Any]]] | None = None
        self._colouring: Colouring | None = None
        self._out: Pixels | None = None
        self._buffers: list[npt.NDArray[np.float32]] = []

    def fuse(self, *frames: Pixels) -> Pixels:
        """Fuses the simultaneous frames of all sources.

        Args:
            *frames: One per source, (H, W) or (H, W, 3), uint8 or uint16; shapes and dtypes as in the first call.

        Returns:
            (H, W) or (H, W, 3), with the bit depth given by the options. **The next call overwrites this array**:
            copy it to keep it.

        Raises:
            DataError: Frames cannot be fused, or differ in shape or dtype from those of the first call.
        """
        if not frames:
            raise DataError("nothing to fuse: give one frame for each source")
        rasters = [_frame(frame) for frame in frames]
        kind = [(frame.shape, frame.dtype) for frame in frames]
        if self._kind is None:
            self._decide(frames)
        elif kind != self._kind:
            raise DataError(f"this frame is {_shown(kind)}, but the previous frames were {_shown(self._kind)}")
        scene = RasterScene(rasters, self._engine.options.bit_depth, out=self._out, buffers=self._buffers or None)
        with self._lock:
            fused = self._engine.fuse(scene, colouring=self._colouring).image
        self._out, self._kind = fused.pixels, kind
        return self._out

    def _decide(self, frames: Sequence[Pixels]) -> None:
        self._colouring = self._engine.colouring([frame.ndim == 3 for frame in frames])
        if self._engine.tile(*frames[0].shape[:2]) is None:
            shapes = [(1, *frame.shape) if frame.ndim == 2 else (3, *frame.shape[:2]) for frame in frames]
            self._buffers = [np.empty(shape, np.float32) for shape in shapes]

    def close(self) -> None:
        """Releases the buffers."""
        self._out = None
        self._buffers = []


def _frame(frame: Pixels) -> Raster:
    if frame.dtype not in (np.uint8, np.uint16) or not (frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 3)):
        raise DataError(f"frames must be (H, W) or (H, W, 3), uint8 or uint16, got {frame.shape} {frame.dtype}")
    return Raster(frame, float(np.iinfo(frame.dtype).max))


def _shown(kind: Sequence[tuple[tuple[int, ...], np.dtype[Any]]]) -> str:
    return " and ".join(f"{'x'.join(map(str, shape))} {dtype}" for shape, dtype in kind)
