"""Conversion of a decoded frame to an 8-bit array: range, matrix and bit depth, grey or colour.

* **Range.** As declared. If undeclared, YUV is limited (16 to 235) and grey or yuvj is full, as players assume.
* **Matrix.** As declared. If undeclared, it is BT.709 for HD (1280 wide or more, or above 576 high), else BT.601.
* **Bit depth.** More than 8 bits are scaled to 8.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Pixels = npt.NDArray[np.uint8]

_FULL, _LIMITED = 2, 1
_BT709, _BT601 = 1, 5
# H.273 number declared by a stream → number of the coefficients in swscale.
_MATRICES = {1: _BT709, 4: 4, 5: _BT601, 6: _BT601, 7: 7, 9: 9, 10: 9}


def matrix_of(height: int, width: int) -> int:
    """The matrix of frames that declare none, as players assume it."""
    return _BT709 if width >= 1280 or height > 576 else _BT601


def rgb_of(frame: VideoFrame) -> Pixels:
    """A frame as RGB, (H, W, 3), full range."""
    matrix = _MATRICES.get(int(frame.colorspace), matrix_of(frame.height, frame.width))
    converted = frame.reformat(
        format="rgb24",
        src_colorspace=matrix,
        # RGB has no matrix; but if source and destination have the same matrix and range, PyAV 15 assumes BT.601
        dst_colorspace=_BT709 if matrix != _BT709 else _BT601,
        src_color_range=_range(frame),
        dst_color_range=_FULL,
    )
    return converted.to_ndarray().astype(np.uint8, copy=False)


def luma_of(frame: VideoFrame) -> Pixels:
    """The luma of a frame, (H, W); exact, because a conversion to RGB and back would round twice."""
    bits = frame.format.components[0].bits
    if not frame.format.name.startswith(("gray", "yuv", "nv1", "nv2")) or bits > 16:
        return rgb_of(frame)[..., 1]
    levels = _luma_levels(bits, _range(frame) == _FULL)
    return levels[_plane(frame, 0, bits)]


def chroma_of(frame: VideoFrame) -> int:
    """Largest deviation of chroma from neutral, in levels of 255; 0 for grey pixel formats."""
    name = frame.format.name
    if name.startswith(("gray", "mono")):
        return 0
    if not (name.startswith("yuv") and frame.format.components[0].bits == 8):
        frame = frame.reformat(format="yuv420p")
    planes = [_plane(frame, index, 8) for index in (1, 2)]
    return max(max(abs(int(plane.max()) - 128), abs(int(plane.min()) - 128)) for plane in planes)


def _range(frame: VideoFrame) -> int:
    declared = int(frame.color_range)
    if declared in (_FULL, _LIMITED):
        return declared
    return _FULL if frame.format.name.startswith(("yuvj", "gray", "ya")) else _LIMITED


@lru_cache(maxsize=8)
def _luma_levels(bits: int, full: bool) -> Pixels:
    """8-bit full-range level of each stored luma level."""
    stored = np.arange(1 << bits, dtype=np.float64)
    unit = 1 << (bits - 8)
    share = stored / ((1 << bits) - 1) if full else (stored - 16 * unit) / (219 * unit)
    return np.rint(share.clip(0, 1) * 255).astype(np.uint8)


def _plane(frame: VideoFrame, index: int, bits: int) -> npt.NDArray[Any]:
    """Samples of a plane without the padding at the end of its lines."""
    plane: Any = frame.planes[index]
    dtype = np.dtype(np.uint8 if bits <= 8 else ">u2" if frame.format.is_big_endian else "<u2")
    lines = np.frombuffer(plane, dtype=dtype).reshape(-1, plane.line_size // dtype.itemsize)
    return lines[: plane.height, : plane.width]
