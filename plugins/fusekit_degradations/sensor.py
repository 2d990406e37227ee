"""Degradations by the sensor: noise, column noise, exposure, contrast, loss of the signal."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fusekit.interfaces import Severity, Transform
from fusekit_degradations.config import (
    THERMAL,
    ContrastConfig,
    LostConfig,
    LowLightConfig,
    NoiseConfig,
    OverExposureConfig,
    StripesConfig,
)
from fusekit_degradations.light import in_linear_light, normal


class Noise(Transform):
    """Shot noise and read noise of a camera; for thermal sources, white noise of a given NETD.

    The linear light x of a pixel corresponds to x·S electrons, where S is the saturation. Their Poisson distribution is
    approximated by a normal one, so that ``var(x) = x / S + (r / S)²`` for the read noise r in electrons. Photosites
    are independent, and so are the channels of a colour image: interpolation of a colour filter array and denoising
    are not modelled. In a thermal source, ``var(x) = (NETD / span)²``.

    Source: Foi, Trimeche, Katkovnik, Egiazarian, IEEE Transactions on Image Processing 17 (10), 2008; EMVA 1288.
    """

    Config = NoiseConfig
    config: NoiseConfig

    def change(self, source: Tensor, role: str, severity: Severity, random: np.random.Generator) -> Tensor:
        numbers = normal(source, random)
        if role in THERMAL:
            return (source + self.config.netd[severity] / self.config.span * numbers).clamp(0.0, 1.0)
        saturation, read_noise = self.config.saturation[severity], self.config.read_noise
        return in_linear_light(source, role, lambda light: _noisy(light, saturation, read_noise, numbers))


class Stripes(Transform):
    """Fixed-pattern column noise of microbolometers: each column has its own readout amplifier.

    ``y = (1 + g_c) x + o_c`` with normally distributed gain errors g and offsets o of the columns c.

    Source: Tendero, Landeau, Gilles, "Non-uniformity correction of infrared images by midway equalization", Image
    Processing On Line 2, 2012.
    """

    Config = StripesConfig
    config: StripesConfig

    def change(self, source: Tensor, role: str, severity: Severity, random: np.random.Generator) -> Tensor:
        offset, gain = torch.from_numpy(random.standard_normal((2, source.shape[-1]), dtype=np.float32))
        gain = 1.0 + self.config.gain[severity] * gain
        return (gain * source + self.config.offset[severity] * offset).clamp(0.0, 1.0)


class LowLight(Transform):
    """Underexposure: ``x / 2**stops`` in linear light, with the shot noise and read noise of the remaining signal.

    Source: the noise model of `Noise`; the image is not brightened afterwards.
    """

    Config = LowLightConfig
    config: LowLightConfig

    def change(self, source: Tensor, role: str, severity: Severity, random: np.random.Generator) -> Tensor:
        numbers, config = normal(source, random), self.config
        share = 2.0 ** -config.stops[severity]
        return in_linear_light(
            source, role, lambda light: _noisy(share * light, config.saturation, config.read_noise, numbers)
        )


class OverExposure(Transform):
    """Overexposure: ``min(1, x · 2**stops)`` in linear light, channel by channel."""

    Config = OverExposureConfig
    config: OverExposureConfig

    def change(self, source: Tensor, role: str, severity: Severity, random: np.random.Generator) -> Tensor:
        gain = 2.0 ** self.config.stops[severity]
        return in_linear_light(source, role, lambda light: gain * light)


class Contrast(Transform):
    """Loss of contrast: ``m + c (x - m)`` of the values, where m is their mean and c the factor.

    The standard deviation is multiplied by c, and the mean remains.
    """

    Config = ContrastConfig
    config: ContrastConfig

    def change(self, source: Tensor, role: str, severity: Severity, random: np.random.Generator) -> Tensor:
        return torch.lerp(source.mean(), source, self.config.factor[severity]).clamp(0.0, 1.0)


class LostSource(Transform):
    """Loss of a source: its lower rows have a constant value, as after a transmission that breaks off."""

    Config = LostConfig
    config: LostConfig

    def change(self, source: Tensor, role: str, severity: Severity, random: np.random.Generator) -> Tensor:
        lost = round(self.config.share[severity] * source.shape[-2])
        return torch.cat(
            (source[:, : source.shape[-2] - lost], torch.full_like(source[:, :lost], self.config.value)), dim=1
        )


def _noisy(light: Tensor, saturation: float, read_noise: float, numbers: Tensor) -> Tensor:
    """Linear light with shot noise and read noise, from standard normal numbers."""
    return light + torch.sqrt(light / saturation + (read_noise / saturation) ** 2) * numbers
