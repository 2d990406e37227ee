"""Multi-exposure pairs: one street under-exposed, over-exposed, and as the ideal image."""

from __future__ import annotations

import numpy as np

from fusekit_scenes.render.pair import Pair, camera_rng
from fusekit_scenes.render.scene import view_street
from fusekit_scenes.render.sensor import LUMA, Sensor, encode, log_mean

_SENSOR = Sensor(full_well=3000.0, read=6.0)
_STOPS = (4.0, 8.0)
"""Smallest and largest number of stops between the two photographs."""
_DAY, _NIGHT = 0.14, 0.05
"""Mean of the ideal image as a share of saturation; lower at night than by day."""
_WHITE = 0.985


def exposure_gains(radiance: np.ndarray) -> tuple[float, float]:
    """Gains of the two photographs, exposed for the highlights and for the shadows (bracketing).

    The under-exposed photograph has the brightest percent of pixels above 0.45 of saturation, the over-exposed one has
    nine tenths of the pixels above 0.06. If they differ by less than 4 stops or more than 8, both are shifted by the
    same number of stops.

    Args:
        radiance: Linear light ``(H, W, 3)``, 0 and more.

    Returns:
        ``(under, over)``, factors on the radiance.
    """
    shadow, highlight = np.maximum(np.percentile(radiance @ LUMA, [10, 99]), 1e-5)
    under, over = np.log2(0.45 / highlight), np.log2(0.06 / shadow)
    middle, half = (under + over) / 2, np.clip(over - under, *_STOPS) / 2
    return float(2.0 ** (middle - half)), float(2.0 ** (middle + half))


def tone_map(radiance: np.ndarray, key: float) -> np.ndarray:
    """Apply a global logarithmic tone curve without clipping.

    ``v(x) = 0.985 log(1 + k (x - b)) / log(1 + k (w - b))`` on every channel: b, nine tenths of the 0.1 % quantile of
    all values, removes the veil of scattered light, w is the largest value, and k is chosen so that the geometric mean
    of the luminance becomes `key`.

    Args:
        radiance: Linear light ``(H, W, 3)``, 0 and more.
        key: Resulting geometric mean as a share of saturation.

    Returns:
        Linear light for the display ``(H, W, 3)``, 0 to 0.985.
    """
    light = np.maximum(radiance - 0.9 * np.percentile(radiance, 0.1), 0.0)
    white, middle = max(float(light.max()), 1e-5), log_mean(light)
    low, high = -20.0, 60.0
    for _ in range(60):  # v at the mean grows with k: bisection of log2 k
        k = 2.0 ** ((low + high) / 2)
        dark = _WHITE * np.log1p(k * middle) < key * np.log1p(k * white)
        low, high = ((low + high) / 2, high) if dark else (low, (low + high) / 2)
    return _WHITE * np.log1p(k * light) / np.log1p(k * white)


def exposure_pair(seed: int, index: int, *, height: int = 256, width: int = 256) -> Pair:
    """Render one street under-exposed and over-exposed.

    Streets are those of :func:`~fusekit_scenes.render.render_scene`, by day with a bright sky over shaded walls, and by
    night with lamps. Exposures follow :func:`exposure_gains`. Both photographs have shot and read noise, are clipped
    and rounded to 8 bits: shadows of the dark one are lost in noise, the bright one has saturated areas. The ideal is
    the noise-free light after :func:`tone_map`, which shows both shadows and highlights. All global tone curves
    preserve the order of the light, but the distribution of contrast is a choice: another good rendering of the scene
    differs from this ideal.

    Args:
        seed: Number of the data set, 0 or more.
        index: Number of the pair in it, 0 or more.
        height: Image height in pixels, at least 32.
        width: Image width in pixels, at least 32.

    Returns:
        The pair, the under-exposed one first; images and ideal are ``(H, W, 3)`` uint8.

    Raises:
        ValueError: If the image is too small or a number is negative.
    """
    view = view_street(seed, index, height=height, width=width)
    radiance = view.radiance
    rng = camera_rng(seed, index, "exposure")
    under, over = exposure_gains(radiance)
    dark, bright = _SENSOR.expose(rng, under * radiance), _SENSOR.expose(rng, over * radiance)
    return Pair((dark, bright), encode(tone_map(radiance, _NIGHT if view.night else _DAY)))
