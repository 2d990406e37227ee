"""Conversion of linear light to 8 bits: exposure meter, sensor noise, clipping and tone curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GAMMA = 2.2
"""Exponent of the sRGB-like tone curve."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in luminance, BT.601."""


@dataclass(frozen=True)
class Sensor:
    """Saturation and noise of a sensor.

    Attributes:
        full_well: Number of electrons at saturation; the lower, the stronger the shot noise.
        read: Standard deviation of the read noise in electrons.
    """

    full_well: float
    read: float

    def expose(self, rng: np.random.Generator, light: np.ndarray) -> np.ndarray:
        """Take a photograph.

        Args:
            rng: Random generator for shot and read noise.
            light: Linear light on the sensor, ``(H, W, 3)``, 0 and more; 1 saturates.

        Returns:
            uint8 image ``(H, W, 3)``, sRGB-like.
        """
        # Light far above saturation is clipped anyway; the limit only keeps its noise bounded.
        signal = np.minimum(light, 4.0)
        spread = np.sqrt(signal / self.full_well + (self.read / self.full_well) ** 2)
        return encode(signal + spread * rng.standard_normal(signal.shape, np.float32))


def encode(linear: np.ndarray) -> np.ndarray:
    """Apply the tone curve and quantise, without noise.

    Args:
        linear: Linear light of any shape; values outside [0, 1] are clipped.

    Returns:
        uint8 array of the same shape, sRGB-like.
    """
    return quantise(np.clip(linear, 0.0, 1.0) ** (1.0 / GAMMA))


def quantise(image: np.ndarray) -> np.ndarray:
    """Round an encoded image in [0, 1] to 8 bits; values outside are clipped.

    Args:
        image: Floating point array of any shape.

    Returns:
        uint8 array of the same shape.
    """
    return (255.0 * np.clip(image, 0.0, 1.0) + 0.5).astype(np.uint8)


def log_mean(radiance: np.ndarray) -> float:
    """Geometric mean of the luminance, as shown by a light meter.

    Args:
        radiance: Linear ``(H, W, 3)``, 0 and more.

    Returns:
        The mean, in units of the radiance.
    """
    # The lower bound prevents black pixels from dominating the mean.
    return float(np.exp(np.log(np.maximum(radiance @ LUMA, 1e-5)).mean()))
