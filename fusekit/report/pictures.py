"""Conversion of images, label maps and weights to 8-bit pictures, and of those to small data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw, features

Palette = Sequence[tuple[int, int, int]]
Encoding = Literal["auto", "png", "webp", "jpeg"]

# A drawing (label map, mask) has few colours. An indexed PNG of it is smaller than a lossy image and has no ringing
# at the borders between classes.
_DRAWING_COLOURS = 64
# Lower qualities cause block artefacts in shadows, which matter in night scenes.
_QUALITY = 92


def to_uint8(image: Any) -> np.ndarray:
    """Convert a float image in [0, 1] to 8 bits, channels last.

    Args:
        image: ``(1, H, W)``, ``(3, H, W)`` or ``(H, W)``; an array, or a tensor on any device. Values outside of
            [0, 1] are clipped; NaN becomes black.

    Returns:
        ``(H, W)`` or ``(H, W, 3)``, uint8.

    Raises:
        ValueError: The image has any other shape.
    """
    if hasattr(image, "detach"):
        image = image.detach().cpu().float().numpy()
    values = np.asarray(image, dtype=np.float64)
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    elif values.ndim == 3 and values.shape[0] == 3:
        values = values.transpose(1, 2, 0)
    elif values.ndim != 2:
        raise ValueError(f"the image must have the shape (1|3, H, W) or (H, W), not {values.shape}")
    return np.rint(np.clip(np.nan_to_num(values, nan=0.0), 0.0, 1.0) * 255.0).astype(np.uint8)


def _stripes(shape: tuple[int, int], period: int = 8) -> np.ndarray:
    rows, columns = np.indices(shape)
    return (rows + columns) % period < period // 2


def colour_labels(label: np.ndarray, palette: Palette, ignore_index: int | None = None) -> np.ndarray:
    """Colour a label map with the palette of its classes.

    Args:
        label: Class indices, ``(H, W)``.
        palette: Colour of each class.
        ignore_index: Value of ignored pixels; they are hatched in grey, so that they cannot be mistaken for a class.

    Returns:
        ``(H, W, 3)``, uint8. An index outside of the palette is hatched in magenta: a wrong class table must be
        visible, but must not prevent the report at the end of a long run.
    """
    label = np.asarray(label)
    colours = np.asarray(palette, dtype=np.uint8).reshape(-1, 3)
    known = (label >= 0) & (label < len(colours))
    picture = np.zeros((*label.shape, 3), dtype=np.uint8)
    picture[known] = colours[label[known]]
    stripes = _stripes((label.shape[0], label.shape[1]))[..., None]
    picture[~known] = np.where(stripes, (255, 0, 255), (60, 0, 60)).astype(np.uint8)[~known]
    if ignore_index is not None:
        ignored = label == ignore_index
        picture[ignored] = np.where(stripes, (150,) * 3, (110,) * 3).astype(np.uint8)[ignored]
    return picture


def overlay_labels(
    image: np.ndarray,
    label: np.ndarray,
    palette: Palette,
    unlabelled: int | None = 0,
    alpha: float = 0.55,
) -> np.ndarray:
    """Overlay a label map on a picture.

    Args:
        image: ``(H, W)`` or ``(H, W, 3)``, uint8.
        label: Class indices, ``(H, W)``.
        palette: Colour of each class.
        unlabelled: Class that stays transparent (background); None colours all classes.
        alpha: Opacity of the colours, in [0, 1].

    Returns:
        ``(H, W, 3)``, uint8.
    """
    picture = np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image
    cover = np.full(label.shape, alpha)
    if unlabelled is not None:
        cover[label == unlabelled] = 0.0
    mixed = picture + cover[..., None] * (colour_labels(label, palette).astype(np.float64) - picture)
    return np.rint(mixed).astype(np.uint8)


def draw_boxes(image: np.ndarray, corners: np.ndarray, classes: np.ndarray, palette: Palette) -> np.ndarray:
    """Draw boxes on a picture, in the colours of their classes.

    Args:
        image: ``(H, W)`` or ``(H, W, 3)``, uint8.
        corners: Left, top, right and bottom in pixels, ``(M, 4)``.
        classes: Index of the class of each box, ``(M,)``; boxes of other classes than those of the palette are white.
        palette: Colour of each class.

    Returns:
        ``(H, W, 3)``, uint8.
    """
    picture = Image.fromarray(image).convert("RGB")
    pen = ImageDraw.Draw(picture)
    for (left, top, right, bottom), label in zip(corners.tolist(), classes.tolist(), strict=True):
        colour = tuple(palette[label]) if 0 <= label < len(palette) else (255, 255, 255)
        pen.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=2)
    return np.asarray(picture)


def _heat_table(size: int = 256) -> np.ndarray:
    """Colour map from blue over grey to yellow, computed in OKLab, in which equal steps look equal.

    Lightness rises evenly from end to end, so that the order remains visible with colour blindness and in grey prints;
    chroma is zero in the middle, so that neutral looks neutral.
    """
    position = np.linspace(0.0, 1.0, size)
    lightness = 0.27 + 0.66 * position
    away = np.abs(2.0 * position - 1.0)
    hue = np.where(position < 0.5, np.deg2rad(262.0), np.deg2rad(88.0))
    # The slightly concave power separates values close to neutral, where most weights lie.
    chroma = 0.145 * away**0.75
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    # OKLab to linear sRGB (Björn Ottosson's published matrices).
    lms = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ],
        axis=-1,
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(lms**3 @ to_rgb.T, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255.0).astype(np.uint8)


HEAT = _heat_table()
"""Colours of `heat` from 0 to 1, ``(256, 3)``, uint8."""


def heat(values: np.ndarray, neutral: float = 0.5) -> np.ndarray:
    """Colour weights: dark blue for 0, grey for neutral, light yellow for 1.

    Args:
        values: ``(H, W)`` in [0, 1].
        neutral: Value shown in grey: an equal share, 1/N for N sources.

    Returns:
        ``(H, W, 3)``, uint8.
    """
    clipped = np.clip(np.nan_to_num(np.asarray(values, dtype=np.float64), nan=neutral), 0.0, 1.0)
    position = np.interp(clipped, [0.0, neutral, 1.0], [0.0, 0.5, 1.0])
    return HEAT[np.rint(position * (len(HEAT) - 1)).astype(np.intp)]


def shrink(image: np.ndarray, max_side: int, *, smooth: bool = True) -> np.ndarray:
    """Scale a picture down so that its longer side is at most `max_side`; it is never scaled up.

    Args:
        image: ``(H, W)`` or ``(H, W, 3)``, uint8.
        max_side: Longest side in pixels.
        smooth: False creates no new colours (nearest neighbour), as label maps need.
    """
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1.0:
        return np.ascontiguousarray(image)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size, how))


def _as_drawing(image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Indices and palette of a colour picture with few colours; None for photographs and grey pictures."""
    if image.ndim == 2:
        return None
    packed = image.astype(np.uint32) @ np.array([65536, 256, 1], dtype=np.uint32)
    colours, indices = np.unique(packed, return_inverse=True)
    if len(colours) > _DRAWING_COLOURS:
        return None
    palette = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1).astype(np.uint8)
    return indices.reshape(packed.shape).astype(np.uint8), palette


def data_uri(image: np.ndarray, max_side: int = 480, format: Encoding = "auto") -> str:
    """Encode a picture as a ``data:`` URI, small enough to be embedded in a page.

    Args:
        image: ``(H, W)`` or ``(H, W, 3)``, uint8.
        max_side: Larger pictures are scaled down to this many pixels on their longer side.
        format: ``auto`` uses an indexed PNG for drawings and WebP for photographs (JPEG if Pillow was built without
            WebP).
    """
    drawing = _as_drawing(image)
    if format == "auto":
        format = "png" if drawing else ("webp" if features.check("webp") else "jpeg")
    buffer = io.BytesIO()
    if format == "png" and drawing:
        indices, palette = drawing
        indexed = Image.fromarray(shrink(indices, max_side, smooth=False))
        indexed.putpalette(palette.tobytes())  # converts it to an indexed image
        indexed.save(buffer, "PNG", optimize=True)
    else:
        picture = Image.fromarray(shrink(image, max_side, smooth=drawing is None))
        if format == "png":
            picture.save(buffer, "PNG", optimize=True)
        elif format == "webp":
            picture.save(buffer, "WEBP", quality=_QUALITY, method=4)
        else:
            picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/{format};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
