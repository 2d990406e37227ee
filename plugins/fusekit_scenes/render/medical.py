"""MRI-PET-like pairs of an artificial head."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fusekit_scenes.render.anatomy import FIELD, GRID, Slice, Tissue, brain_slice
from fusekit_scenes.render.grain import blur, enlarge, shrink, soft_noise
from fusekit_scenes.render.pair import Pair, camera_rng, check_request
from fusekit_scenes.render.sensor import quantise

_RESOLUTION = 6.5
"""Full width at half maximum of the PET image in millimetres."""
_COARSE = 4
"""Number of cells of the tissue grid along the side of a cell of the PET grid."""

_ECHO: Mapping[Tissue, float] = {
    Tissue.SKIN: 0.34,
    Tissue.FAT: 0.74,
    Tissue.BONE: 0.04,
    Tissue.MARROW: 0.34,
    Tissue.FLUID: 0.12,
    Tissue.GREY: 0.40,
    Tissue.WHITE: 0.70,
    Tissue.STRIATUM: 0.45,
    Tissue.THALAMUS: 0.53,
    Tissue.LESION: 0.27,
    Tissue.RIM: 0.80,
    Tissue.OEDEMA: 0.50,
}
"""Brightness of tissues in the T1-weighted MRI: fat and white matter bright, water dark."""

_UPTAKE: Mapping[Tissue, float] = {
    Tissue.SKIN: 0.03,
    Tissue.FAT: 0.03,
    Tissue.MARROW: 0.05,
    Tissue.GREY: 1.00,
    Tissue.WHITE: 0.30,
    Tissue.STRIATUM: 1.08,
    Tissue.THALAMUS: 0.95,
    Tissue.OEDEMA: 0.20,
}
"""Glucose uptake of healthy tissues, relative to grey matter."""

_COLD, _HOT, _HOT_RIM = 0.05, 1.15, 1.75
_FULL_SCALE = 1.45
"""Activity displayed at full luminance."""

_RAMP = np.array(
    [
        # luminance, Cb, Cr
        (0.00, 0.00, 0.00),
        (0.13, 0.24, -0.01),
        (0.30, 0.17, 0.16),
        (0.46, -0.02, 0.26),
        (0.63, -0.24, 0.19),
        (0.84, -0.33, 0.05),
        (1.00, 0.00, 0.00),
    ]
)
"""Colours of activity: black, blue, purple, red, orange, yellow, white."""


def join_chroma(luminance: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """RGB of a luminance and a chroma (BT.601, full range); chroma is reduced if the colour would be out of range.

    Args:
        luminance: ``(H, W)`` in [0, 1].
        chroma: Cb and Cr around 0, ``(H, W, 2)`` in [-0.5, 0.5].

    Returns:
        ``(H, W, 3)`` in [0, 1], of exactly the given luminance.
    """
    blue, red = 1.772 * chroma[..., 0], 1.402 * chroma[..., 1]
    offset = np.stack([red, -(0.114 * blue + 0.299 * red) / 0.587, blue], axis=-1)
    y = luminance[..., None]
    headroom = np.where(offset > 0, 1.0 - y, y) / np.maximum(np.abs(offset), 1e-9)
    return np.clip(y + offset * np.minimum(headroom.min(axis=-1, keepdims=True), 1.0), 0.0, 1.0)


def activity_chroma(activity: np.ndarray) -> np.ndarray:
    """Chroma of the PET colour map.

    The luminance of the colour map equals the activity, so that equal steps of activity are equal steps of luminance
    and a grey print is correct; the hue changes from blue over red to yellow.

    Args:
        activity: ``(H, W)`` in [0, 1].

    Returns:
        Cb and Cr around 0, ``(H, W, 2)``.
    """
    return np.stack([np.interp(activity, _RAMP[:, 0], _RAMP[:, i]) for i in (1, 2)], axis=-1)


def _frame(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale a square map to the shorter side and centre it on black."""
    side = min(height, width)
    framed = np.zeros((height, width), np.float32)
    top, left = (height - side) // 2, (width - side) // 2
    framed[top : top + side, left : left + side] = enlarge(image.astype(np.float32), side, side)
    return framed


def _table(values: Mapping[Tissue, float]) -> np.ndarray:
    return np.array([values.get(tissue, 0.0) for tissue in Tissue], np.float32)


def _activity(rng: np.random.Generator, head: Slice) -> tuple[np.ndarray, np.ndarray]:
    """Activity at the PET's resolution, without and with noise, on the coarse grid; 1 is full luminance."""
    table = _table(_UPTAKE)
    table[Tissue.LESION], table[Tissue.RIM] = (_HOT, _HOT_RIM) if head.hot else (_COLD, _COLD)
    uptake = table[head.tissue] * (1.0 + 0.07 * soft_noise(rng, GRID, GRID, 5))
    cells_per_mm = GRID / FIELD / _COARSE
    clean = blur(shrink(uptake, _COARSE), _RESOLUTION / 2.355 * cells_per_mm) / _FULL_SCALE
    # Counts are low: noise is proportional to the square root of the activity, and has the grain of the reconstruction.
    grain = blur(rng.standard_normal(clean.shape, np.float32), 1.0) * 3.5
    return np.clip(clean, 0.0, 1.0), np.clip(clean + 0.035 * np.sqrt(np.maximum(clean, 0)) * grain, 0.0, 1.0)


def medical_pair(seed: int, index: int, *, height: int = 256, width: int = 256) -> Pair:
    """Render an MRI-like and a PET-like image of one artificial head.

    The MRI-like image is sharp and grey, with smooth coil shading and Rician noise. The PET-like image shows glucose
    uptake at a resolution of 6.5 mm (of a field of 222 mm) in false colours, whose luminance is the activity
    (:func:`activity_chroma`): high in grey matter, low in white matter, none in fluid, and in a lesion higher or lower
    than in the surrounding brain. It is black outside of the head.

    The ideal is a definition, not a ground truth: there is no objective fused image of two kinds of measurement. With M
    the noise-free MRI without shading, A the luminance of the noise-free PET and G a Gaussian blur with the PET's
    resolution, its luminance is::

        Y = max(G M, A) + (M - G M)

    clipped to [0, 1]: the fine structure that only the MRI resolves, added to the maximum of both at their common
    resolution. Its chroma is that of the noise-free PET times ``min(1, A / Y)``, because brightness from the MRI has no
    colour, and is reduced further if the colour would be out of range.

    Args:
        seed: Number of the data set, 0 or more.
        index: Number of the pair in it, 0 or more.
        height: Image height in pixels, at least 32.
        width: Image width in pixels, at least 32.

    Returns:
        The pair: MRI ``(H, W)`` and PET ``(H, W, 3)`` uint8; the ideal is ``(H, W, 3)`` uint8.

    Raises:
        ValueError: If the image is too small or a number is negative.
    """
    check_request(seed, index, height, width)
    rng = camera_rng(seed, index, "medical")
    head = brain_slice(rng)
    inside = _frame((head.tissue != Tissue.AIR).astype(np.float32), height, width)
    echo = _frame(_table(_ECHO)[head.tissue], height, width)
    clean, noisy = (_frame(part, height, width) for part in _activity(rng, head))
    clean, noisy = np.where(inside > 0, clean, 0.0), np.where(inside > 0, noisy, 0.0)

    shading = 1.0 + rng.uniform(0.05, 0.10) * soft_noise(rng, height, width, 3)
    noise = rng.standard_normal((2, height, width), np.float32) * rng.uniform(0.012, 0.028)
    mri = np.hypot(echo * np.clip(shading, 0.75, 1.25) + noise[0], noise[1])

    pixels_per_mm = min(height, width) / FIELD
    base = blur(echo, _RESOLUTION / 2.355 * pixels_per_mm)
    luminance = np.clip(np.maximum(base, clean) + (echo - base), 0.0, 1.0)
    pet = join_chroma(noisy, activity_chroma(noisy))
    tint = np.minimum(clean / np.maximum(luminance, 1e-3), 1.0)
    ideal = join_chroma(luminance, tint[..., None] * activity_chroma(clean))
    return Pair((quantise(mri), quantise(pet)), quantise(ideal))
