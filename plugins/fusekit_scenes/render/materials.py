"""Materials of surfaces: reflectance, emitted light, heat, texture and class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from fusekit_datasets.config import MSRS_TABLE

MSRS_CLASSES = MSRS_TABLE.names
"""Names of the nine classes; the index is the label value."""

CAR, PERSON, BIKE, CURVE, CAR_STOP, GUARDRAIL, CONE, BUMP = range(1, 9)

Colour = tuple[float, float, float]


class Texture(IntEnum):
    """Kind of fine structure of a surface."""

    NONE = 0
    ASPHALT = 1
    PAVING = 2
    BRICK = 3
    FOLIAGE = 4
    GRASS = 5
    CLOTH = 6
    PLASTER = 7


@dataclass(frozen=True)
class Material:
    """Properties of a surface.

    Attributes:
        albedo: Linear reflectance per colour channel, 0..1.
        heat: Infrared level in grey values of a typical frame (road 10, skin 170), before camera gain.
        label: Class of the pixels, 0..8.
        glow: Visible light emitted by the surface; 1 saturates the sensor.
        texture: Fine structure.
        gloss: Share of specular reflection of the sky, 0..1.
        ground: Whether cast shadows fall on it (flat surfaces on the street).
    """

    albedo: Colour
    heat: float
    label: int = 0
    glow: Colour = (0.0, 0.0, 0.0)
    texture: Texture = Texture.NONE
    gloss: float = 0.0
    ground: bool = False


STREET: dict[str, Material] = {
    "asphalt": Material((0.115, 0.115, 0.120), 10.5, texture=Texture.ASPHALT, ground=True),
    "paving": Material((0.23, 0.215, 0.20), 13.0, texture=Texture.PAVING, ground=True),
    "setts": Material((0.17, 0.165, 0.16), 12.0, texture=Texture.PAVING, ground=True),
    "grass": Material((0.075, 0.12, 0.035), 14.0, texture=Texture.GRASS, ground=True),
    "soil": Material((0.12, 0.085, 0.055), 14.0, texture=Texture.GRASS, ground=True),
    "paint": Material((0.62, 0.62, 0.60), 11.0, texture=Texture.ASPHALT, ground=True),
    "yellow_paint": Material((0.52, 0.33, 0.06), 11.0, texture=Texture.ASPHALT, ground=True),
    "tactile": Material((0.46, 0.34, 0.07), 13.0, texture=Texture.PAVING, ground=True),
    "kerb_top": Material((0.33, 0.32, 0.31), 15.0, CURVE, texture=Texture.ASPHALT, ground=True),
    "kerb_face": Material((0.24, 0.23, 0.22), 17.0, CURVE, texture=Texture.ASPHALT),
    "bump_yellow": Material((0.55, 0.37, 0.04), 16.0, BUMP, texture=Texture.ASPHALT, ground=True),
    "bump_black": Material((0.05, 0.05, 0.05), 18.0, BUMP, texture=Texture.ASPHALT, ground=True),
    "manhole": Material((0.06, 0.055, 0.05), 19.0, ground=True),
    "leaf_litter": Material((0.36, 0.20, 0.05), 11.5, ground=True),
}
"""Materials of the ground."""

FIXTURES: dict[str, Material] = {
    "concrete": Material((0.36, 0.35, 0.33), 17.0, CAR_STOP, texture=Texture.PLASTER),
    "concrete_top": Material((0.42, 0.41, 0.39), 15.0, CAR_STOP, texture=Texture.PLASTER),
    "reflector": Material((0.70, 0.42, 0.05), 15.0, CAR_STOP),
    "rail": Material((0.52, 0.53, 0.54), 13.0, GUARDRAIL, gloss=0.10),
    "rail_shade": Material((0.27, 0.28, 0.29), 16.0, GUARDRAIL),
    "rail_post": Material((0.34, 0.35, 0.35), 20.0, GUARDRAIL),
    "cone": Material((0.72, 0.10, 0.02), 19.0, CONE),
    "cone_shade": Material((0.42, 0.055, 0.015), 16.0, CONE),
    "cone_blue": Material((0.03, 0.14, 0.52), 19.0, CONE),
    "cone_blue_shade": Material((0.02, 0.08, 0.30), 16.0, CONE),
    "cone_band": Material((0.78, 0.78, 0.76), 18.0, CONE),
    "cone_base": Material((0.08, 0.08, 0.08), 15.0, CONE),
    "pole": Material((0.22, 0.22, 0.22), 21.0),
    "pole_dark": Material((0.06, 0.06, 0.065), 23.0),
    "lamp_off": Material((0.55, 0.55, 0.52), 20.0),
    "sign_white": Material((0.72, 0.72, 0.72), 16.0),
    "sign_red": Material((0.55, 0.03, 0.04), 16.0),
    "sign_blue": Material((0.03, 0.10, 0.48), 16.0),
    "trunk": Material((0.085, 0.062, 0.045), 27.0, texture=Texture.FOLIAGE),
    "trunk_light": Material((0.15, 0.115, 0.085), 29.0, texture=Texture.FOLIAGE),
}
"""Materials of street furniture."""


def tint(material: Material, gain: float = 1.0, heat: float = 0.0) -> Material:
    """Vary a material slightly.

    Args:
        material: Original material.
        gain: Factor on the reflectance.
        heat: Offset of the infrared level, in grey values.

    Returns:
        The changed material.
    """
    red, green, blue = (min(1.0, gain * part) for part in material.albedo)
    return replace(material, albedo=(red, green, blue), heat=material.heat + heat)


class Palette:
    """The materials of one scene, numbered in order of first use."""

    def __init__(self) -> None:
        self._numbers: dict[Material, int] = {}

    def add(self, material: Material) -> int:
        """Add a material.

        Args:
            material: The material.

        Returns:
            Its index; equal materials have the same index.
        """
        return self._numbers.setdefault(material, len(self._numbers))

    def albedo(self) -> np.ndarray:
        """Reflectances, float32 ``(n, 3)``."""
        return np.array([m.albedo for m in self._numbers], np.float32)

    def glow(self) -> np.ndarray:
        """Emitted light, float32 ``(n, 3)``."""
        return np.array([m.glow for m in self._numbers], np.float32)

    def scalars(self, name: str) -> np.ndarray:
        """One scalar attribute of every material.

        Args:
            name: Attribute of :class:`Material`: ``heat``, ``label``, ``texture``, ``gloss`` or ``ground``.

        Returns:
            Float32 array ``(n,)``.
        """
        return np.array([getattr(m, name) for m in self._numbers], np.float32)
