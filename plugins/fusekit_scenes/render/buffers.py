"""Per-pixel position, orientation, material and texture from the buffer of face indices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusekit_scenes.render.camera import Camera
from fusekit_scenes.render.grain import look_up, noise_tile
from fusekit_scenes.render.materials import Palette, Texture
from fusekit_scenes.render.raster import SUPERSAMPLE, Faces


@dataclass(frozen=True)
class Surface:
    """Per-pixel geometry, all ``(height, width)``.

    Attributes:
        face: Face index at the pixel's first sample; 0 is the sky.
        x: World X in metres.
        y: World Y in metres.
        z: Distance in metres.
        normal: Unit normal, three arrays.
    """

    face: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    normal: tuple[np.ndarray, np.ndarray, np.ndarray]


def locate(numbers: np.ndarray, faces: Faces, camera: Camera) -> Surface:
    """Compute the world position of every pixel.

    Args:
        numbers: Supersampled face indices.
        faces: Tables of the faces.
        camera: The camera.

    Returns:
        The geometry at the first sample of every pixel, which also determines the label.
    """
    face = np.ascontiguousarray(numbers[::SUPERSAMPLE, ::SUPERSAMPLE])
    right, up = camera.slopes()
    a, b, c = (faces.plane[:, i].take(face) for i in range(3))
    inverse = a * right + b * up + c
    np.clip(inverse, faces.far.take(face), faces.near.take(face), out=inverse)
    z = 1.0 / inverse
    normal = (faces.normal[:, 0].take(face), faces.normal[:, 1].take(face), faces.normal[:, 2].take(face))
    return Surface(face, right * z, up * z + np.float32(camera.eye), z, normal)


class Resolver:
    """Antialiased lookup in face tables: pixels on edges get the mean of their samples."""

    def __init__(self, numbers: np.ndarray) -> None:
        samples = [numbers[i::SUPERSAMPLE, j::SUPERSAMPLE] for i in range(SUPERSAMPLE) for j in range(SUPERSAMPLE)]
        self._first = np.ascontiguousarray(samples[0])
        mixed = np.zeros(self._first.shape, bool)
        for sample in samples[1:]:
            mixed |= sample != self._first
        self._where = np.flatnonzero(mixed)
        self._samples = [sample.ravel()[self._where] for sample in map(np.ascontiguousarray, samples)]

    def __call__(self, table: np.ndarray) -> np.ndarray:
        """Look up one quantity for all pixels.

        Args:
            table: One float32 value per face, ``(n,)``.

        Returns:
            Float32 array ``(height, width)``.
        """
        image = table.take(self._first)
        mean = table.take(self._samples[0])
        for sample in self._samples[1:]:
            mean = mean + table.take(sample)
        image.ravel()[self._where] = mean / len(self._samples)
        return image


@dataclass(frozen=True)
class _Grain:
    """Parameters of a texture.

    Attributes:
        cell: Size of a noise cell in metres.
        visible: Strength in visible light.
        heat: Strength in infrared.
        stain: Strength of large patches in visible light.
        joints: Spacing of joints (across, up) in metres; None for no joints.
    """

    cell: float
    visible: float
    heat: float
    stain: float
    joints: tuple[float, float] | None = None


_GRAINS: dict[Texture, _Grain] = {
    Texture.ASPHALT: _Grain(0.012, 0.17, 0.06, 0.12),
    Texture.PAVING: _Grain(0.02, 0.14, 0.05, 0.12, (0.45, 0.45)),
    Texture.BRICK: _Grain(0.05, 0.16, 0.05, 0.12, (0.62, 0.25)),
    Texture.FOLIAGE: _Grain(0.018, 0.38, 0.13, 0.22),
    Texture.GRASS: _Grain(0.013, 0.30, 0.12, 0.18),
    Texture.CLOTH: _Grain(0.012, 0.10, 0.08, 0.22),
    Texture.PLASTER: _Grain(0.06, 0.06, 0.04, 0.12),
}


def texture_gains(
    rng: np.random.Generator, surface: Surface, faces: Faces, palette: Palette, camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """Texture factors of all surfaces.

    Args:
        rng: Random generator; selects the offset in the noise tiles.
        surface: Geometry of the pixels.
        faces: Tables of the faces.
        palette: Materials of the scene.
        camera: The camera.

    Returns:
        ``(visible, heat)``: float32 factors ``(height, width)`` around 1 for reflectance and heat.
    """
    kinds = palette.scalars("texture").astype(np.int8)[faces.material]
    kinds[0] = Texture.NONE
    kind = kinds.take(surface.face).ravel()
    visible, heat = np.ones(kind.shape, np.float32), np.ones(kind.shape, np.float32)
    fine, coarse = noise_tile(0.35), noise_tile(1.1)
    shift = rng.uniform(0, 256, 2).astype(np.float32)
    x, y, z, ny, nx = (part.ravel() for part in (surface.x, surface.y, surface.z, surface.normal[1], surface.normal[0]))
    for texture, grain in _GRAINS.items():
        index = np.flatnonzero(kind == texture)
        if not len(index):
            continue
        px, py, pz, pny, pnx = (part.take(index) for part in (x, y, z, ny, nx))
        flat = np.abs(pny) > 0.7
        across = np.where(~flat & (np.abs(pnx) > 0.7), pz, px)
        along = np.where(flat, pz, py)
        # With distance, texture finer than a pixel averages out.
        footprint = pz / camera.focal * np.where(flat, np.minimum(pz / camera.eye, 30.0), 1.0)
        sharp = 1.0 / (1.0 + (footprint / (2.5 * grain.cell)) ** 2) ** 0.5
        noise = look_up(fine, across / grain.cell + shift[0], along / grain.cell + shift[1])
        patches = look_up(coarse, across * 9.0 + shift[1], along * 9.0 + shift[0])
        gain = grain.visible * sharp * noise + grain.stain * patches
        if grain.joints:
            gain += _joints(across, along, footprint, grain.joints)
        visible[index] = np.clip(1.0 + gain, 0.25, 2.2)
        heat[index] = np.clip(1.0 + grain.heat * (0.6 * sharp * noise + patches), 0.5, 1.6)
    return visible.reshape(surface.face.shape), heat.reshape(surface.face.shape)


def _joints(across: np.ndarray, along: np.ndarray, footprint: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """Dark joints between stones, in courses offset by half a stone."""
    course = along / spacing[1]
    row = np.floor(course)
    stone = across / spacing[0] + 0.5 * (row % 2)
    column = np.floor(stone)
    width = 0.02
    joint = ((course - row) * spacing[1] < width) | ((stone - column) * spacing[0] < width)
    sharp = 1.0 / (1.0 + (footprint / 0.06) ** 2)
    # Every stone has its own tone; a simple hash of its position makes the tone the same in all pixels.
    tone = np.sin(row * 12.9898 + column * 78.233) * 43758.547
    tone = tone - np.floor(tone) - 0.5
    return (sharp * (0.22 * tone - 0.34 * joint)).astype(np.float32)
