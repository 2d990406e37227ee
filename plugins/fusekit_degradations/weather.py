"""Degradations by the weather: haze and rain."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from fusekit.interfaces import Severity, Transform
from fusekit_degradations.config import HazeConfig, RainConfig
from fusekit_degradations.light import decoded, in_linear_light, white
from fusekit_degradations.optics import splat

CONTRAST_THRESHOLD = 0.02
"""Contrast at the meteorological visibility."""

_NEAREST, _FARTHEST = 0.4, 5.0  # distances of drops in metres; farther ones are thinner than a pixel
_SMALLEST = 1.0  # diameter of drops in millimetres; smaller ones are too faint to be seen


class Haze(Transform):
    """Haze and fog: ``I t + A (1 - t)`` in linear light, with ``t = exp(-β d)`` and ``β = -ln 0.02 / visibility``.

    The distance d is not known and is replaced by that of a flat ground: a row y below the horizon y₀ of an image of
    height H has ``d = near · (H - y₀) / (y - y₀)``, at most ``far``, and everything above the horizon has
    ``d = far``. Objects on the ground therefore get the distance of the ground behind them, and in a crop the
    distances are those of a whole image. The airlight A is grey; by default it is the light of a white surface,
    estimated from the mean of the scene, so that fog at night is dark.

    Source: Koschmieder 1924; Narasimhan and Nayar, "Vision and the atmosphere", International Journal of Computer
    Vision 48 (3), 2002.
    """

    Config = HazeConfig
    config: HazeConfig

    def change(self, source: Tensor, role: str, severity: Severity, random: np.random.Generator) -> Tensor:
        beta = -math.log(CONTRAST_THRESHOLD) / self.config.visibility[severity]
        transmission = torch.exp(-beta * self.distances(source.shape[-2]))[:, None]

        def hazy(light: Tensor) -> Tensor:
            airlight = self.config.airlight
            veil = white(light) if airlight is None else float(decoded(torch.tensor(airlight)))
            return light * transmission + veil * (1.0 - transmission)

        return in_linear_light(source, role, hazy)

    def distances(self, height: int) -> Tensor:
        """Distance of each row in metres, (height,)."""
        config = self.config
        below = (torch.arange(height) + 0.5) / height - config.horizon
        ground = config.near * (1.0 - config.horizon) / below.clamp_min(1e-6)
        return ground.clamp(max=config.far)


class Rain(Transform):
    """Rain streaks: ``I (1 - α) + A α`` in linear light, where α is the share of the exposure that a drop covers.

    Drops with diameters D above 1 mm are distributed at random in the view of the camera, from 0.4 m to 5 m, with the
    density of Marshall and Palmer for the rain rate R: ``8000 exp(-4.1 R^-0.21 D)`` per m³ and mm. They fall with
    ``9.65 - 10.3 exp(-0.6 D)`` m/s (Atlas et al.) during the exposure and are projected by a camera with the given
    focal length in pixels, so that streaks in a crop look as in the whole image. A drop refracts the light of a wide
    angle; its brightness A is that of a white surface, estimated from the mean of the scene. Drops are in focus, and
    the haze of distant rain is not modelled.

    Source: Garg and Nayar, "Vision and rain", International Journal of Computer Vision 75 (1), 2007; Marshall and
    Palmer, Journal of Meteorology 5, 1948; Atlas, Srivastava, Sekhon, Reviews of Geophysics 11, 1973.
    """

    Config = RainConfig
    config: RainConfig

    def change(self, source: Tensor, role: str, severity: Severity, random: np.random.Generator) -> Tensor:
        height, width = source.shape[-2:]
        cover = torch.from_numpy(self.cover(height, width, severity, random)).float()

        def rainy(light: Tensor) -> Tensor:
            return torch.lerp(light, torch.full_like(light, white(light)), cover)

        return in_linear_light(source, role, rainy)

    def cover(self, height: int, width: int, severity: Severity, random: np.random.Generator) -> np.ndarray:
        """Share of the exposure during which each pixel is covered by drops, (height, width) in [0, 1]."""
        focal = self.config.focal
        volume = height * width / focal**2 * (_FARTHEST**3 - _NEAREST**3) / 3
        rate = self.config.rate[severity]
        # A heavier severity has drops at the places of a lighter one and more: it uses more of the same numbers.
        numbers = random.random((round(_density(max(self.config.rate.values())) * volume), 4))
        size, depth, down, right = numbers[: round(_density(rate) * volume)].T
        diameter = _SMALLEST - np.log1p(-size) / _slope(rate)
        distance = (_NEAREST**3 + depth * (_FARTHEST**3 - _NEAREST**3)) ** (1 / 3)
        thickness = focal * diameter / 1000 / distance
        fall = (9.65 - 10.3 * np.exp(-0.6 * diameter)) * self.config.exposure
        length = focal * fall / distance
        plane = np.zeros((height, width))
        self._draw(plane, down * height, right * width, length, thickness)
        return np.minimum(plane, 1.0)

    def _draw(
        self, plane: np.ndarray, rows: np.ndarray, columns: np.ndarray, length: np.ndarray, thickness: np.ndarray
    ) -> None:
        """Adds streaks; the sum over a streak is the area of its drop, π/4 · thickness²."""
        along, across = np.ceil(length).astype(int) + 1, np.ceil(thickness).astype(int)
        count = along * across
        drop = np.repeat(np.arange(len(count)), count)
        point = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        step, side = point // across[drop], point % across[drop]
        forward = ((step + 0.5) / along[drop] - 0.5) * length[drop]
        sideways = ((side + 0.5) / across[drop] - 0.5) * thickness[drop]
        # The cross-section of a sphere: a chord of the circle at each distance from its centre.
        chord = np.sqrt(1.0 - ((side + 0.5) / across[drop] * 2.0 - 1.0) ** 2)
        weight = chord / np.bincount(drop, chord)[drop] * (math.pi / 4 * thickness**2)[drop]
        cosine, sine = math.cos(math.radians(self.config.wind)), math.sin(math.radians(self.config.wind))
        splat(
            plane,
            rows[drop] + forward * cosine + sideways * sine,
            columns[drop] - forward * sine + sideways * cosine,
            weight,
        )


def _slope(rate: float) -> float:
    """Slope of the size distribution of drops, per mm, for a rain rate in mm/h."""
    return float(4.1 * rate**-0.21)


def _density(rate: float) -> float:
    """Number of drops above the smallest diameter, per m³."""
    return 8000.0 / _slope(rate) * math.exp(-_slope(rate) * _SMALLEST)
