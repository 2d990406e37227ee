"""Depth of field of a thin lens: out-of-focus points are blurred to discs, with nearer objects over farther ones.

A point at distance z, seen through a lens of aperture A and focal length f that is focused on z0, is blurred to a disc
of diameter ``A f |1/z - 1/z0|`` (for z0 much larger than f), which is linear in inverse distance. Inverse distances are
in dioptres (1/m), and ``strength`` is ``A f`` in pixels per dioptre.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_FINE = 9
"""Number of samples per pixel and axis for antialiasing the edge of a disc."""


def circle_of_confusion(dioptres: np.ndarray, focus: float, strength: float) -> np.ndarray:
    """Diameter of the blur disc of a point.

    Args:
        dioptres: Inverse distances, any shape, 1/m.
        focus: Inverse distance in focus, 1/m.
        strength: Blur in pixels per dioptre.

    Returns:
        Diameters in pixels, same shape. A disc below 1 is smaller than a pixel, so the point is sharp.
    """
    return strength * np.abs(dioptres - focus)


@lru_cache(maxsize=256)
def disc(diameter: float) -> np.ndarray:
    """A filled disc with an antialiased edge and sum 1.

    Args:
        diameter: Diameter in pixels.

    Returns:
        Read-only array ``(2 r + 1, 2 r + 1)`` with r the radius rounded up.
    """
    reach = max(0, int(np.ceil((diameter - 1) / 2)))
    place = (np.arange((2 * reach + 1) * _FINE) + 0.5) / _FINE - reach - 0.5
    inside = place[:, None] ** 2 + place[None, :] ** 2 <= (diameter / 2) ** 2
    weight = inside.reshape(2 * reach + 1, _FINE, 2 * reach + 1, _FINE).mean(axis=(1, 3))
    weight /= weight.sum()
    weight.flags.writeable = False
    return weight


def _fast(size: int) -> int:
    """The next size for which the FFT is fast: a product of 2, 3 and 5."""
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1


def _spread(stack: np.ndarray, *diameters: float) -> list[np.ndarray]:
    """Convolve ``(H, W, C)`` with discs, with zeros outside of the array."""
    kernels = [disc(diameter) for diameter in diameters]
    reach, (height, width) = max(map(len, kernels)) // 2, stack.shape[:2]
    if reach == 0:
        return [stack for _ in kernels]
    shape = (_fast(height + 2 * reach), _fast(width + 2 * reach))
    spectrum = np.fft.rfft2(stack, s=shape, axes=(0, 1))
    spread = []
    for kernel in kernels:
        own = len(kernel) // 2
        full = np.fft.irfft2(spectrum * np.fft.rfft2(kernel, s=shape)[..., None], s=shape, axes=(0, 1))
        # Rounding errors of the FFT can be negative, which light cannot be.
        spread.append(np.maximum(full[own : own + height, own : own + width], 0.0))
    return spread


def _layer(light: np.ndarray, order: np.ndarray, diameter: float, wide: float) -> np.ndarray:
    """One blurred layer, including its estimated extension behind nearer objects.

    Past the edge of a blurred object, light arrives from hidden surfaces behind it, which are visible in no pixel.
    These surfaces are assumed to be like the visible ones around them: each layer gets the share of the hidden area
    that it has of the surrounding visible area that is not nearer. This also prevents light leaks where a surface
    continues from one layer to the next.

    Args:
        light: Linear light ``(H, W, 3)``.
        order: -1 farther than the layer, 0 in it, 1 nearer, ``(H, W)``.
        diameter: Diameter of the layer's disc in pixels.
        wide: Diameter of the surrounding area in pixels: the range of the discs of this and of nearer layers.

    Returns:
        ``(H, W, 4)``: light times coverage, and coverage.
    """
    own = (order == 0)[..., None].astype(np.float64)
    near, far = (order > 0)[..., None].astype(np.float64), (order < 0)[..., None].astype(np.float64)
    if diameter <= 1 and not near.any():
        return np.concatenate([light * own, own], axis=-1)
    stack = np.concatenate([light * own, own, near, far], axis=-1)
    seen, around = _spread(stack, max(diameter, 1.0), wide)
    # Values below 1e-6 in the surrounding area are rounding errors of the FFT.
    share = seen[..., 4:5] / np.maximum(around[..., 3:4] + around[..., 5:6], 1e-6)
    return seen[..., :4] + np.where(around[..., 3:4] > 1e-6, share * around[..., :4], 0.0)


def defocus(radiance: np.ndarray, dioptres: np.ndarray, focus: float, strength: float) -> np.ndarray:
    """Light on the sensor behind a lens that is focused on one distance.

    The scene is divided into layers whose discs differ by one pixel of diameter. The layers are blurred separately and
    composited from far to near: a sharp edge in front hides the blurred background, and a blurred object in front
    spreads over the objects behind it.

    Args:
        radiance: Linear light ``(H, W, 3)`` of the all-in-focus image, 0 and more.
        dioptres: Inverse distances ``(H, W)``, 1/m.
        focus: Inverse distance in focus, 1/m.
        strength: Blur in pixels per dioptre.

    Returns:
        Float32 linear light ``(H, W, 3)``.
    """
    height, width = dioptres.shape
    widest = float(circle_of_confusion(np.array([dioptres.min(), dioptres.max()]), focus, strength).max())
    margin = int(np.ceil(widest))
    light = np.pad(radiance, ((margin, margin), (margin, margin), (0, 0)), mode="edge").astype(np.float64)
    layers = np.rint((np.pad(dioptres, margin, mode="edge") - focus) * strength).astype(np.int32)
    image = np.zeros((*layers.shape, 4))
    for layer in np.unique(layers):  # from far to near
        order = np.sign(layers - layer)
        rows, columns = np.flatnonzero((order == 0).any(axis=1)), np.flatnonzero((order == 0).any(axis=0))
        diameter = float(abs(layer))
        wide = max(diameter, float(layers.max())) + 2.0
        reach = int(np.ceil((wide + diameter) / 2)) + 1
        part = (
            slice(max(rows[0] - reach, 0), rows[-1] + reach + 1),
            slice(max(columns[0] - reach, 0), columns[-1] + reach + 1),
        )
        front = _layer(light[part], order[part], diameter, wide)
        image[part] = front + image[part] * (1.0 - front[..., 3:])
    image = image[margin : margin + height, margin : margin + width]
    return (image[..., :3] / np.maximum(image[..., 3:], 1e-6)).astype(np.float32)
