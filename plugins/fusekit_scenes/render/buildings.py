"""Houses along the street: walls, floors of windows, doors and shop signs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusekit_scenes.render.materials import Colour, Material, Palette, Texture
from fusekit_scenes.render.mesh import Layer, Mesh, Thing

_WALLS: tuple[tuple[Colour, Texture], ...] = (
    ((0.27, 0.16, 0.10), Texture.BRICK),
    ((0.20, 0.12, 0.08), Texture.BRICK),
    ((0.34, 0.26, 0.18), Texture.BRICK),
    ((0.44, 0.42, 0.38), Texture.PLASTER),
    ((0.52, 0.47, 0.38), Texture.PLASTER),
    ((0.28, 0.28, 0.29), Texture.PLASTER),
    ((0.36, 0.38, 0.40), Texture.PLASTER),
)


_DARK_PANES = 4
"""Number of window materials without light; later ones in the list are lit."""


@dataclass(frozen=True)
class _Style:
    """Material indices and window dimensions of one house."""

    wall: int
    trim: int
    frame: int
    panes: np.ndarray
    door: int
    shop: int
    floor: float
    pitch: float
    window: tuple[float, float]


def _style(rng: np.random.Generator, palette: Palette, night: bool) -> _Style:
    colour, texture = _WALLS[rng.integers(len(_WALLS))]
    gain, heat = rng.uniform(0.5, 1.15), rng.uniform(17, 56)
    red, green, blue = (gain * part for part in colour)
    wall = Material((red, green, blue), heat, texture=texture)
    trim = Material((red * 1.25, green * 1.25, blue * 1.25), heat + rng.uniform(-4, 4), texture=Texture.PLASTER)
    panes = [
        Material((0.03, 0.035, 0.04), heat * rng.uniform(0.30, 0.5), gloss=0.35),
        Material((0.05, 0.05, 0.05), heat * rng.uniform(0.35, 0.6), gloss=0.10),
        Material((0.32, 0.31, 0.28), heat * rng.uniform(0.4, 0.65), gloss=0.12),
        Material((0.02, 0.02, 0.025), heat * rng.uniform(0.3, 0.5), gloss=0.20),
    ]
    if night:
        for _ in range(2):
            power = rng.uniform(0.15, 1.8)
            warm = (1.0, rng.uniform(0.75, 0.98), rng.uniform(0.4, 0.9))
            glow = (power * warm[0], power * warm[1], power * warm[2])
            panes.append(Material((0.2, 0.2, 0.2), heat * rng.uniform(0.5, 0.8), glow=glow))
    glow_of_shop = (
        tuple(float(v) for v in rng.uniform(0.1, 0.9, 3)) if night and rng.random() < 0.25 else (0.0, 0.0, 0.0)
    )
    shop = Material(
        tuple(float(v) for v in rng.uniform(0.05, 0.6, 3)),  # type: ignore[arg-type]
        heat,
        glow=glow_of_shop,  # type: ignore[arg-type]
    )
    return _Style(
        wall=palette.add(wall),
        trim=palette.add(trim),
        frame=palette.add(Material((0.10, 0.09, 0.08), heat * 0.9)),
        panes=np.array([palette.add(pane) for pane in panes]),
        door=palette.add(Material((0.05, 0.045, 0.04), heat + 4)),
        shop=palette.add(shop),
        floor=rng.uniform(3.0, 3.8),
        pitch=rng.uniform(1.8, 3.4),
        window=(rng.uniform(0.45, 0.75), rng.uniform(0.45, 0.65)),
    )


class _Wall:
    """An upright rectangular wall with coordinates along and up."""

    def __init__(self, mesh: Mesh, start: tuple[float, float], end: tuple[float, float], height: float) -> None:
        self._mesh, self._start = mesh, np.array(start)
        self.length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
        self._along = (np.array(end) - self._start) / max(self.length, 1e-6)
        self.height = height

    def rectangles(self, spans: np.ndarray, material: int | np.ndarray) -> None:
        """Add rectangles.

        Args:
            spans: Rows of (left, right, bottom, top) in metres, ``(n, 4)``.
            material: Index or indices of the material.
        """
        spans = np.asarray(spans, float).reshape(-1, 4)
        along, up = spans[:, [0, 1, 1, 0]], spans[:, [2, 2, 3, 3]]
        points = np.stack(
            [self._start[0] + along * self._along[0], up, self._start[1] + along * self._along[1]], axis=-1
        )
        self._mesh.add(points, material)

    def windows(self, rng: np.random.Generator, style: _Style, lit: float) -> None:
        """Add window rows above the ground floor."""
        columns, floors = int(self.length / style.pitch), int((self.height - 0.6) / style.floor)
        if columns < 1 or floors < 2:
            return
        pitch = self.length / columns
        left = (np.arange(columns) + 0.5 * (1 - style.window[0])) * pitch
        bottom = np.arange(1, floors) * style.floor + 0.28 * style.floor
        left, bottom = (grid.ravel() for grid in np.meshgrid(left, bottom))
        right, top = left + style.window[0] * pitch, bottom + style.window[1] * style.floor
        spans = np.column_stack([left, right, bottom, top])
        shining = rng.random(len(spans)) < (lit if len(style.panes) > _DARK_PANES else 0.0)
        kind = np.where(shining, rng.integers(4, 6, len(spans)), rng.integers(0, 4, len(spans)))
        self.rectangles(spans + np.array([-0.09, 0.09, -0.09, 0.09]), style.frame)
        self.rectangles(spans, style.panes[np.minimum(kind, len(style.panes) - 1)])
        self.rectangles(np.column_stack([left - 0.14, right + 0.14, bottom - 0.22, bottom - 0.09]), style.trim)
        middle = (left + right) / 2
        self.rectangles(np.column_stack([middle - 0.04, middle + 0.04, bottom, top]), style.frame)

    def ground_floor(self, rng: np.random.Generator, style: _Style, lit: float) -> None:
        """Add doors, shop windows and name boards."""
        self.rectangles(np.array([[0, self.length, 0, 0.45]]), style.trim)
        self.rectangles(np.array([[0, self.length, style.floor - 0.1, style.floor + 0.15]]), style.trim)
        at = rng.uniform(0.4, 1.6)
        while at < self.length - 2.2:
            width = rng.uniform(1.0, 2.6)
            choice = rng.random()
            if choice < 0.3:
                self.rectangles(np.array([[at, at + 1.1, 0.0, 2.2]]), style.door)
            else:
                shining = len(style.panes) > _DARK_PANES and rng.random() < 1.6 * lit
                pane = style.panes[rng.integers(4, 6) if shining else rng.integers(0, 4)]
                low = 0.5 if choice < 0.7 else 1.0
                self.rectangles(np.array([[at - 0.08, at + width + 0.08, low - 0.08, 2.48]]), style.frame)
                self.rectangles(np.array([[at, at + width, low, 2.4]]), pane)
                if choice > 0.8:
                    self.rectangles(np.array([[at, at + width, 2.5, 2.95]]), style.shop)
            at += width + rng.uniform(0.6, 2.5)


def house(
    rng: np.random.Generator,
    palette: Palette,
    near: tuple[float, float],
    far: tuple[float, float],
    height: float,
    night: bool,
) -> Thing:
    """Build a house along one side of the street.

    Args:
        rng: Random generator.
        palette: Materials of the scene.
        near: Ground point (x, z) of its nearest street corner.
        far: Ground point of its farthest street corner.
        height: Height of the wall in metres.
        night: Whether it is night.

    Returns:
        The house: the street front and the gable that faces the camera.
    """
    style = _style(rng, palette, night)
    lit = float(rng.choice([0.06, 0.15, 0.30, 0.6])) if night else 0.0
    mesh = Mesh()
    outwards = 14.0 * np.sign(near[0]) if near[0] else 14.0
    for start, end in (((near[0] + outwards, near[1]), near), (near, far)):
        wall = _Wall(mesh, start, end, height)
        wall.rectangles(np.array([[0, wall.length, 0, height]]), style.wall)
        wall.windows(rng, style, lit)
        if start == near:
            wall.ground_floor(rng, style, lit)
        for step in np.arange(2, int(height / style.floor)) * style.floor:
            wall.rectangles(np.array([[0, wall.length, step - 0.06, step + 0.1]]), style.trim)
        wall.rectangles(np.array([[0, wall.length, height - 0.4, height]]), style.trim)
    shadow = Mesh()
    deep = (near[0] + outwards, far[0] + outwards)
    for (x0, z0), (x1, z1) in (
        (near, far),
        (near, (deep[0], near[1])),
        (far, (deep[1], far[1])),
        ((deep[0], near[1]), (deep[1], far[1])),
    ):
        shadow.add(np.array([[x0, 0, z0], [x1, 0, z1], [x1, height, z1], [x0, height, z0]]), 0)
    return Thing(mesh, (near[1] + far[1]) / 2, Layer.BUILDING, shadow)


def backdrop(rng: np.random.Generator, palette: Palette, x: float, z: float, night: bool) -> Thing:
    """Build a distant block at the end of the street.

    Args:
        rng: Random generator.
        palette: Materials of the scene.
        x: Middle of its front.
        z: Distance.
        night: Whether it is night.

    Returns:
        The block.
    """
    mesh = Mesh()
    style = _style(rng, palette, night)
    width, height = rng.uniform(14, 34), rng.uniform(9, 30)
    wall = _Wall(mesh, (x - width / 2, z), (x + width / 2, z), height)
    wall.rectangles(np.array([[0, wall.length, 0, height]]), style.wall)
    wall.windows(rng, style, float(rng.choice([0.05, 0.2, 0.4])))
    return Thing(mesh, z, Layer.BACKDROP)
