"""Noise tiles, blurs and other small image operations in plain numpy."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

TILE = 256
"""Side length of the periodic noise tile in cells."""


@lru_cache(maxsize=2)
def noise_tile(roughness: float = 0.5) -> np.ndarray:
    """A periodic tile of natural-looking noise.

    The tile is the same in every process; scenes use different offsets in it.

    Args:
        roughness: Exponent of the decay of amplitude with spatial frequency; smaller is rougher.

    Returns:
        Read-only float32 array ``(TILE, TILE)`` with mean 0 and standard deviation 1.
    """
    white = np.random.default_rng(20240607).standard_normal((TILE, TILE))
    frequency = np.hypot(np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None, :]) * TILE
    spectrum = np.fft.rfft2(white) / np.maximum(frequency, 1.0) ** roughness
    spectrum[0, 0] = 0.0
    tile = np.fft.irfft2(spectrum, s=(TILE, TILE))
    tile = (tile / tile.std()).astype(np.float32)
    tile.flags.writeable = False
    return tile


def look_up(tile: np.ndarray, across: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Sample a periodic tile at given coordinates.

    Args:
        tile: Array ``(TILE, TILE)``.
        across: Column coordinates in cells, any shape.
        along: Row coordinates in cells, same shape.

    Returns:
        Values of the tile, same shape.
    """
    column = np.floor(across).astype(np.int32) & (TILE - 1)
    row = np.floor(along).astype(np.int32) & (TILE - 1)
    return tile.ravel().take(row * TILE + column)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur with replicated borders.

    Args:
        image: Float32 array ``(H, W)``.
        sigma: Standard deviation in pixels.

    Returns:
        Blurred array ``(H, W)``.
    """
    reach = max(1, int(np.ceil(2.5 * sigma)))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (0, 1):
        widths = [(reach, reach) if axis == a else (0, 0) for a in (0, 1)]
        padded = np.pad(image, widths, mode="edge")
        size = image.shape[axis]
        image = sum(
            weight * (padded[i : i + size] if axis == 0 else padded[:, i : i + size])
            for i, weight in enumerate(weights)
        )
    return image


def shrink(image: np.ndarray, factor: int) -> np.ndarray:
    """Average blocks of pixels.

    Args:
        image: Float32 array ``(H, W)``.
        factor: Side length of a block.

    Returns:
        Array ``(ceil(H / factor), ceil(W / factor))``.
    """
    height, width = image.shape
    padded = np.pad(image, ((0, -height % factor), (0, -width % factor)), mode="edge")
    return padded.reshape(padded.shape[0] // factor, factor, -1, factor).mean(axis=(1, 3))


def enlarge(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale an image up with bilinear interpolation.

    Args:
        image: Float32 array ``(h, w)``.
        height: New height.
        width: New width.

    Returns:
        Float32 array ``(height, width)``.
    """
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def soft_noise(rng: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    """Slowly varying noise over the whole image.

    Args:
        rng: Random generator.
        height: Image height.
        width: Image width.
        cells: Number of cells along each axis.

    Returns:
        Float32 array ``(height, width)`` with a standard deviation of about 1.
    """
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
