"""Linear light: what a sensor measures, before it is encoded as the values of an image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fusekit_degradations.config import MEDICAL, THERMAL

GREY = 0.18
"""Mean reflectance of scenes, the grey card of photography."""


def in_linear_light(source: Tensor, role: str, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Applies a change to linear light, and clips the result to [0, 1].

    Sources of visible light are decoded by the transfer function of sRGB (IEC 61966-2-1). Values of thermal and medical
    sources are taken as proportional to the signal.

    Args:
        source: (1 or 3, H, W) in [0, 1].
        role: Its role.
        change: The change of linear light in [0, 1].
    """
    if role in THERMAL | MEDICAL:
        return change(source).clamp(0.0, 1.0)
    return encoded(change(decoded(source)).clamp(0.0, 1.0))


def decoded(values: Tensor) -> Tensor:
    """Linear light of sRGB values."""
    return torch.where(values <= 0.04045, values / 12.92, ((values.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)


def encoded(light: Tensor) -> Tensor:
    """SRGB values of linear light, the inverse of `decoded`."""
    # 1.055 p - 0.055, written so that white stays exactly 1.
    power = light.clamp_min(0.0031308) ** (1 / 2.4)
    return torch.where(light <= 0.0031308, light * 12.92, 1.0 + 1.055 * (power - 1.0))


def white(light: Tensor) -> float:
    """Linear light of a white surface in the scene, at most 1: mean light of a scene divided by its mean reflectance.

    The mean reflectance is taken as 18% (grey-world assumption).
    """
    return min(1.0, float(light.mean()) / GREY)


def normal(source: Tensor, random: np.random.Generator) -> Tensor:
    """Standard normal numbers for every pixel; the same for all channels of an image without colour."""
    grey = all(torch.equal(channel, source[0]) for channel in source[1:])
    shape = (1 if grey else len(source), *source.shape[1:])
    return torch.from_numpy(random.standard_normal(shape, dtype=np.float32)).expand(source.shape)
