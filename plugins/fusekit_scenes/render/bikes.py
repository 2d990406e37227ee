"""Bicycles, parked or ridden."""

from __future__ import annotations

import numpy as np

from fusekit_scenes.render.materials import BIKE, Material, Palette
from fusekit_scenes.render.mesh import Frame, Mesh, Thing
from fusekit_scenes.render.people import add_body, dress, riding

_WHEEL = 0.33
_BASE = 0.53
_TUBES: tuple[tuple[tuple[float, float], tuple[float, float]], ...] = (
    ((-0.53, 0.33), (-0.08, 0.30)),
    ((-0.53, 0.33), (-0.20, 0.78)),
    ((-0.08, 0.30), (-0.22, 0.92)),
    ((-0.08, 0.30), (0.36, 0.76)),
    ((-0.19, 0.74), (0.34, 0.84)),
    ((0.53, 0.33), (0.34, 0.98)),
)


def _ring(frame: Frame, along: float, outer: float, inner: float) -> np.ndarray:
    """A wheel rim as quads ``(16, 4, 3)``."""
    angle = np.linspace(0, 2 * np.pi, 17)
    corners = np.stack([angle[:-1], angle[1:], angle[1:], angle[:-1]], axis=1)
    radius = np.array([outer, outer, inner, inner])
    local = np.stack(
        [along + radius * np.cos(corners), np.zeros_like(corners), _WHEEL + radius * np.sin(corners)], axis=-1
    )
    return frame.world(local)


def _tube(frame: Frame, start: tuple[float, float, float], end: tuple[float, float, float], width: float) -> np.ndarray:
    """A camera-facing bar between two local points, ``(4, 3)``."""
    first, last = frame.world(np.array(start)), frame.world(np.array(end))
    heading = last[:2] - first[:2]
    across = np.array([-heading[1], heading[0]]) / max(float(np.hypot(*heading)), 1e-6) * width / 2
    shift = np.array([across[0], across[1], 0.0])
    return np.stack([first + shift, last + shift, last - shift, first - shift])


def _wheel(mesh: Mesh, frame: Frame, along: float, tyre: int, spoke: int) -> None:
    mesh.add(_ring(frame, along, _WHEEL, _WHEEL - 0.045), tyre)
    if abs(np.sin(frame.yaw)) < 0.25:
        # Seen from the front, a flat ring would be invisible, but the tyre has a width.
        mesh.add(_tube(frame, (along, 0.0, 0.02), (along, 0.0, 2 * _WHEEL), 0.05), tyre)
        return
    for angle in np.arange(4) * np.pi / 4 + 0.2:
        reach = (_WHEEL - 0.04) * np.array([np.cos(angle), np.sin(angle)])
        start, end = (along - reach[0], 0.0, _WHEEL - reach[1]), (along + reach[0], 0.0, _WHEEL + reach[1])
        mesh.add(_tube(frame, start, end, 0.010), spoke)


def bike(rng: np.random.Generator, palette: Palette, frame: Frame, night: bool, ridden: bool) -> Thing:
    """Build a bicycle.

    Args:
        rng: Random generator.
        palette: Materials of the scene.
        frame: Position of its middle and heading.
        night: Whether it is night.
        ridden: Whether it has a rider.

    Returns:
        The bicycle, with its rider if there is one.
    """
    colours = (
        (0.03, 0.03, 0.03),
        (0.45, 0.45, 0.46),
        (0.40, 0.03, 0.03),
        (0.03, 0.07, 0.28),
        (0.5, 0.5, 0.46),
    )
    colour = colours[rng.integers(len(colours))]
    tyre = palette.add(Material((0.02, 0.02, 0.02), 34.0 if ridden else 21.0, BIKE))
    metal = palette.add(Material(colour, 26.0 if ridden else 19.0, BIKE, gloss=0.06))
    spoke = palette.add(Material((0.35, 0.35, 0.35), 17.0, BIKE))
    lamp_glow = (14.0, 13.0, 11.0) if ridden and night else (0.0, 0.0, 0.0)
    lamp = palette.add(Material((0.5, 0.5, 0.5), 30.0, BIKE, glow=lamp_glow))
    mesh = Mesh()
    for along in (-_BASE, _BASE):
        _wheel(mesh, frame, along, tyre, spoke)
    for start, end in _TUBES:
        mesh.add(_tube(frame, (start[0], 0.0, start[1]), (end[0], 0.0, end[1]), 0.042), metal)
    mesh.add(_tube(frame, (0.34, -0.27, 1.02), (0.34, 0.27, 1.02), 0.035), metal)
    mesh.add(_tube(frame, (-0.36, 0.0, 0.95), (-0.10, 0.0, 0.95), 0.075), tyre)
    if rng.random() < 0.6:
        for height in (0.68, 0.78, 0.88):
            mesh.add(_tube(frame, (0.44, -0.15, height), (0.62, 0.15, height), 0.03), metal)
        mesh.add(_tube(frame, (0.45, 0.0, 0.66), (0.45, 0.0, 0.90), 0.03), metal)
    if np.cos(frame.yaw) < -0.2:
        mesh.add(_tube(frame, (0.52, -0.04, 0.70), (0.52, 0.04, 0.70), 0.08), lamp)
    if ridden:
        size = rng.uniform(1.58, 1.82)
        add_body(mesh, frame, riding(size), size, dress(rng, palette, night), (0.0, None))
    contact = frame.footprint(0.8, 0.12)
    return Thing(mesh, frame.z, shadow=mesh, foot=(frame.x, frame.z), contact=contact)
