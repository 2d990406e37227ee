"""Tissue map of an axial section of an artificial brain, not based on any person's scan.

Positions are in millimetres from the middle of the head; x to the right, y towards the back of the head, which is at
the bottom of the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from PIL import Image, ImageDraw

from fusekit_scenes.render.grain import blur, soft_noise

GRID = 512
"""Side length of the tissue grid in cells."""
FIELD = 222.0
"""Side length of the tissue grid in millimetres."""
_CELL = FIELD / GRID

Points = Sequence[tuple[float, float]]


class Tissue(IntEnum):
    """Tissue of a grid cell."""

    AIR = 0
    SKIN = 1
    FAT = 2
    BONE = 3
    MARROW = 4
    FLUID = 5
    GREY = 6
    WHITE = 7
    STRIATUM = 8
    THALAMUS = 9
    LESION = 10
    RIM = 11
    OEDEMA = 12


@dataclass(frozen=True)
class Slice:
    """A section through the head.

    Attributes:
        tissue: :class:`Tissue` of every cell, ``(GRID, GRID)`` uint8.
        hot: Whether the lesion, if there is one, has a higher glucose uptake than the surrounding brain.
    """

    tissue: np.ndarray
    hot: bool


class _Brush:
    """Draws lines, given in millimetres, into a mask of cells."""

    def __init__(self) -> None:
        self._image = Image.new("L", (GRID, GRID), 0)
        self._pen = ImageDraw.Draw(self._image)

    def line(self, points: np.ndarray, widths: np.ndarray) -> None:
        """Draw a line of variable width: points ``(n, 2)``, widths ``(n,)``."""
        # Discs with a spacing below their radius form a smooth line.
        length = np.append(0.0, np.cumsum(np.hypot(*np.diff(points, axis=0).T)))
        at = np.linspace(0.0, length[-1], max(2, int(length[-1] / 0.4)))
        x, y = (np.interp(at, length, points[:, i]) / _CELL + GRID / 2 for i in (0, 1))
        radius = np.interp(at, length, widths) / 2 / _CELL
        for cx, cy, r in zip(x.tolist(), y.tolist(), radius.tolist(), strict=True):
            self._pen.ellipse((cx - r, cy - r, cx + r, cy + r), fill=1)

    def mask(self) -> np.ndarray:
        """The mask of drawn cells, ``(GRID, GRID)`` bool."""
        return np.asarray(self._image, bool)


def _distance(mask: np.ndarray, reach: float) -> np.ndarray:
    """Distance to a mask in millimetres, exact up to `reach`; larger distances are only larger than `reach`."""
    cells = int(np.ceil(reach / _CELL))
    squared = np.where(mask, np.float32(0), np.float32(4 * cells * cells))
    for axis in (0, 1):
        padded = np.pad(squared, [(cells, cells) if axis == a else (0, 0) for a in (0, 1)], mode="edge")
        for shift in range(-cells, cells + 1):
            part = slice(cells + shift, cells + shift + GRID)
            np.minimum(squared, (padded[part] if axis == 0 else padded[:, part]) + shift * shift, out=squared)
    return np.sqrt(squared) * np.float32(_CELL)


class _Head:
    """Generator of one section."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._wide, self._long = rng.uniform(63.0, 69.0), rng.uniform(78.0, 85.0)
        self._power, self._taper = rng.uniform(2.1, 2.45), rng.uniform(0.05, 0.12)
        self._high = bool(rng.random() < 0.35)
        place = ((np.arange(GRID) + 0.5) * _CELL - FIELD / 2).astype(np.float32)
        self._x, self._y = np.broadcast_arrays(place[None, :], place[:, None])

    def _radius(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Radius of the brain in the direction of a point."""
        size = np.maximum(np.hypot(x, y), 1e-3)
        # Heads are narrower at the front.
        wide = self._wide * (1 + self._taper * (y / size - 0.2))
        return size / ((np.abs(x) / wide) ** self._power + (np.abs(y) / self._long) ** self._power) ** (1 / self._power)

    def _noise(self, cells: int) -> np.ndarray:
        return soft_noise(self._rng, GRID, GRID, cells)

    def _furrow(self, brush: _Brush, start: np.ndarray, heading: float, length: float, width: float) -> None:
        """Draw a winding furrow, sometimes with a side branch."""
        rng, steps = self._rng, max(3, int(length / 2))
        bends = np.cumsum(rng.normal(0, 0.17, steps)) + rng.normal(0, 0.10) * np.sin(np.linspace(0, np.pi, steps))
        angles = heading + bends
        moves = np.stack([np.cos(angles), np.sin(angles)], axis=1) * length / steps
        points = np.concatenate([start[None], start + np.cumsum(moves, axis=0)])
        brush.line(points, np.linspace(1.35 * width, 0.75 * width, len(points)))
        if length > 9 and rng.random() < 0.75:
            at = int(rng.uniform(0.45, 0.95) * steps)
            side = angles[min(at, steps - 1)] + rng.choice([-1, 1]) * rng.uniform(0.8, 1.4)
            self._furrow(brush, points[at], float(side), rng.uniform(5.0, 11.0), 0.85 * width)

    def _cortex(self) -> np.ndarray:
        """All furrows of the surface, ``(GRID, GRID)`` bool."""
        rng, brush = self._rng, _Brush()
        width = rng.uniform(0.8, 1.35)
        for side in (-1.0, 1.0):
            angle, deep = rng.uniform(0.16, 0.24), bool(rng.random() < 0.5)
            while angle < np.pi - 0.14:
                point = np.array([side * np.sin(angle), -np.cos(angle)])
                radius = float(self._radius(point[:1], point[1:])[0])
                length = rng.uniform(15.0, 27.0) if deep else rng.uniform(6.0, 13.0)
                inwards = float(np.arctan2(-point[1], -point[0])) + rng.normal(0, 0.22)
                self._furrow(brush, point * (radius + 1.0), inwards, length, width)
                angle += rng.uniform(8.5, 12.5) / radius
                deep = not deep if rng.random() < 0.85 else deep
            self._lateral(brush, side, width)
        self._midline(brush, width)
        return brush.mask()

    def _lateral(self, brush: _Brush, side: float, width: float) -> None:
        """Draw the lateral fissure and the insula at its bottom."""
        rng = self._rng
        if self._high:
            return
        y = rng.uniform(-14.0, -4.0)
        edge = float(self._radius(np.array([side * self._wide]), np.array([y]))[0])
        inner = 0.60 * self._wide
        path = np.array([(edge, y), (0.85 * edge, y + 2), (inner + 4, y - 1), (inner, y - 3)])
        brush.line(path * (side, 1), np.array([3.0, 2.0, 2.2, 1.6]) * width / 1.3)
        island = np.array([(inner + 5, y - 16), (inner, y - 9), (inner - 1, y + 4), (inner + 4, y + 17)])
        brush.line((island + rng.normal(0, 0.8, island.shape)) * (side, 1), np.array([1.0, 1.7, 1.7, 1.0]) * width)

    def _midline(self, brush: _Brush, width: float) -> None:
        """Draw the fissure between the hemispheres and the furrows that branch off it."""
        rng, long = self._rng, self._long
        front, back = (-2.0, 2.0) if self._high else (-0.46 * long, 0.40 * long)
        for start, end in ((-long - 1, front), (long + 1, back)):
            y = np.linspace(start, end, 12)
            x = np.cumsum(rng.normal(0, 0.25, 12))
            brush.line(np.stack([x, y], axis=1), np.linspace(1.9, 1.1, 12) * width / 1.3)
            for side in (-1.0, 1.0):
                for share in np.arange(0.30, 0.85, 0.22) + rng.uniform(-0.06, 0.06):
                    at = np.array([0.0, start + share * (end - start)])
                    heading = (0.0 if side > 0 else np.pi) + rng.normal(0, 0.3)
                    self._furrow(brush, at, heading, rng.uniform(7.0, 16.0), 0.85 * width)

    def _ventricles(self) -> np.ndarray:
        """The ventricles, ``(GRID, GRID)`` bool."""
        rng, brush = self._rng, _Brush()
        size = rng.uniform(0.75, 1.5)
        scale = np.array([self._wide / 68, self._long / 83])

        def chamber(points: Points, widths: Iterable[float], side: float) -> None:
            moved = (np.array(points) + rng.normal(0, 0.7, (len(points), 2))) * scale * (side, 1)
            brush.line(moved, np.array(list(widths)) * size)

        for side in (-1.0, 1.0):
            if self._high:
                chamber([(8, -26), (7, -10), (8, 8), (13, 26)], (3.0, 6.0, 6.5, 4.0), side)
                continue
            chamber([(4, -8), (5, -18), (9, -27), (14, -34)], (2.5, 5.0, 6.5, 2.5), side)
            chamber([(13, 24), (19, 29), (23, 38), (22, 47)], (3.0, 7.5, 6.0, 2.0), side)
        if not self._high:
            chamber([(0, -5), (0, 3), (0, 13)], (1.6, 2.4, 1.8), 1.0)
        return brush.mask()

    def _blob(self, x: float, y: float, rx: float, ry: float, tilt: float) -> np.ndarray:
        """An ellipse, ``(GRID, GRID)`` bool; `tilt` in radians rotates its lower end outwards."""
        sx, sy = self._wide / 68, self._long / 83
        dx, dy = self._x - x * sx, self._y - y * sy
        tilt *= np.sign(x)
        along, across = dy * np.cos(tilt) + dx * np.sin(tilt), dx * np.cos(tilt) - dy * np.sin(tilt)
        return (across / (rx * sx)) ** 2 + (along / (ry * sy)) ** 2 < 1

    def _nuclei(self, tissue: np.ndarray) -> None:
        """Add the deep grey matter; a higher section has none."""
        if self._high:
            return
        rng = self._rng
        for side in (-1, 1):
            size = rng.uniform(0.92, 1.08)
            shift = rng.normal(0, 0.7, 2)
            for kind, x, y, rx, ry, tilt in (
                (Tissue.STRIATUM, 13.5, -21.0, 4.8, 9.0, -0.25),
                (Tissue.STRIATUM, 25.5, -5.0, 4.6, 14.0, 0.18),
                (Tissue.THALAMUS, 19.5, -2.0, 3.6, 8.5, 0.30),
                (Tissue.THALAMUS, 9.5, 9.0, 7.6, 11.5, 0.35),
            ):
                inside = self._blob(side * (x + shift[0]), y + shift[1], rx * size, ry * size, tilt)
                tissue[inside & (tissue == Tissue.WHITE)] = kind

    def _lesion(self, tissue: np.ndarray, hot: bool) -> None:
        rng = self._rng
        angle, share = rng.uniform(0, 2 * np.pi), rng.uniform(0.42, 0.72)
        x, y = share * self._wide * np.sin(angle), -share * self._long * np.cos(angle)
        radius = rng.uniform(6.5, 12.0)
        away = np.hypot((self._x - x) / rng.uniform(0.85, 1.2), self._y - y) + 1.6 * self._noise(14)
        brain = (tissue >= Tissue.GREY) | (tissue == Tissue.FLUID)
        inner = brain & (away < radius)
        swollen = (tissue == Tissue.WHITE) & (away + 2.5 * self._noise(9) < 1.7 * radius)
        tissue[swollen] = Tissue.OEDEMA
        tissue[inner] = Tissue.LESION
        if hot:
            tissue[inner & (away > radius - 2.6)] = Tissue.RIM

    def draw(self) -> Slice:
        """Generate the section."""
        rng = self._rng
        reach = np.hypot(self._x, self._y)
        out = reach - self._radius(self._x, self._y)
        furrows = self._cortex() & (out < 2)
        # Blurring and thresholding rounds the crests between the furrows.
        fluid = blur(((out > 0) | furrows).astype(np.float32), 1.1 / _CELL) > 0.46
        fluid |= furrows
        ribbon = rng.uniform(2.9, 3.6) + 0.45 * self._noise(24)
        ventricles = self._ventricles()
        tissue = np.where(_distance(fluid, 4.5) < ribbon, Tissue.GREY, Tissue.WHITE).astype(np.uint8)
        self._nuclei(tissue)
        tissue[fluid | ventricles] = Tissue.FLUID
        hot = bool(rng.random() < 0.5)
        if rng.random() < 0.5:
            self._lesion(tissue, hot)
        self._wrap(tissue, out)
        return Slice(self._bend(tissue), hot)

    def _wrap(self, tissue: np.ndarray, out: np.ndarray) -> None:
        """Add fluid, skull and scalp around the brain."""
        rng = self._rng
        gap = np.maximum(rng.uniform(1.0, 2.4) + 0.6 * self._noise(6), 0.6)
        skull = rng.uniform(4.5, 6.5) + 0.5 * self._noise(5)
        scalp = rng.uniform(4.0, 6.0) + 0.7 * self._noise(5)
        depth = out - gap
        tissue[depth > 0] = Tissue.BONE
        tissue[(depth > 0.36 * skull) & (depth < 0.70 * skull)] = Tissue.MARROW
        tissue[depth > skull] = Tissue.FAT
        tissue[depth > skull + scalp - 1.6] = Tissue.SKIN
        tissue[depth > skull + scalp] = Tissue.AIR

    def _bend(self, tissue: np.ndarray) -> np.ndarray:
        """Deform the section slightly, so that halves are not symmetric and ellipses not exact."""
        place = np.arange(GRID, dtype=np.float32)
        moves = [(1.1 * self._noise(5) + 0.5 * self._noise(12)) / _CELL for _ in (0, 1)]
        column = np.clip(np.rint(place[None, :] + moves[0]), 0, GRID - 1).astype(np.int32)
        row = np.clip(np.rint(place[:, None] + moves[1]), 0, GRID - 1).astype(np.int32)
        return tissue[row, column]


def brain_slice(rng: np.random.Generator) -> Slice:
    """Generate a section through a head.

    Args:
        rng: Random generator for the shape of the head, folds, level of the section, thickness of the layers, and a
            lesion in about half of the sections.

    Returns:
        The section.
    """
    return _Head(rng).draw()
