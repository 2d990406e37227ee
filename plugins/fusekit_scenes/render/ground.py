"""The ground of the street: road, kerbs, pavements, markings, bumps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusekit_scenes.render.materials import STREET, Palette, tint
from fusekit_scenes.render.mesh import Layer, Mesh, Thing, ellipse

START, END = 1.2, 130.0
"""Nearest and farthest distance in metres at which the street is drawn."""
KERB_HEIGHT = 0.13


@dataclass(frozen=True)
class Road:
    """Course of the road.

    Attributes:
        middle: X of its centre line at the camera, in metres.
        half: Half width in metres.
        bend: Sideways drift in metres per squared metre of distance beyond 8 m.
        verge: Width of the pavement (left, right) in metres.
    """

    middle: float
    half: float
    bend: float
    verge: tuple[float, float]

    def drift(self, z: np.ndarray | float) -> np.ndarray:
        """Sideways shift of the whole street at a distance."""
        return self.bend * np.maximum(np.asarray(z, float) - 8.0, 0.0) ** 2

    def edge(self, side: int, z: float, beyond: float = 0.0) -> float:
        """X of a road edge.

        Args:
            side: -1 for left, 1 for right.
            z: Distance.
            beyond: Distance outside of the road edge, in metres.

        Returns:
            The position.
        """
        return float(self.middle + side * (self.half + beyond) + self.drift(z))

    def heading(self, z: float) -> float:
        """Direction of the road at a distance, as a yaw in radians."""
        return float(np.arctan(2 * self.bend * max(z - 8.0, 0.0)))

    def strip(self, inner: float, outer: float, start: float, end: float, height: float = 0.0) -> np.ndarray:
        """A band of ground that follows the road.

        Args:
            inner: Offset of one border from the centre line.
            outer: Offset of the other border.
            start: Nearest distance.
            end: Farthest distance.
            height: Height above the road.

        Returns:
            Array ``(n, 4, 3)``.
        """
        count = int(np.clip(np.ceil(3 * np.log(end / start)) * (4 if self.bend else 1), 1, 24))
        z = np.geomspace(start, end, count + 1)
        middle = self.middle + self.drift(z)
        x = np.stack([middle[:-1] + inner, middle[1:] + inner, middle[1:] + outer, middle[:-1] + outer], axis=1)
        return np.stack([x, np.full_like(x, height), np.stack([z[:-1], z[1:], z[1:], z[:-1]], axis=1)], axis=-1)


class Ground:
    """Collects ground surfaces in drawing order."""

    def __init__(self, rng: np.random.Generator, palette: Palette, road: Road) -> None:
        self.base, self.paint = Mesh(), Mesh()
        self._rng, self._palette, self._road = rng, palette, road
        self._gain = rng.uniform(0.75, 1.25)
        self._warm = rng.uniform(-3.0, 3.0)

    def things(self) -> list[Thing]:
        """The ground as two objects to draw before everything else."""
        return [Thing(self.base, END, Layer.GROUND), Thing(self.paint, END, Layer.PAINT)]

    def material(self, name: str) -> int:
        """Index of a ground material with the tint of this street."""
        return self._palette.add(tint(STREET[name], self._gain, self._warm))

    def surface(self, far_kind: str, road_kind: str) -> None:
        """Add the land and the roadway.

        Args:
            far_kind: Material beside the street.
            road_kind: Material of the roadway.
        """
        wide = np.array([[-150, 0, START], [150, 0, START], [150, 0, 400], [-150, 0, 400]], float)
        self.base.add(wide, self.material(far_kind))
        half = self._road.half
        self.base.add(self._road.strip(-half, half, START, END), self.material(road_kind))

    def pavement(self, side: int, kind: str) -> None:
        """Add kerb and pavement on one side; the kerb has the class ``curve``.

        Args:
            side: -1 for left, 1 for right.
            kind: Material of the pavement.
        """
        road, width = self._road, self._road.verge[0 if side < 0 else 1]
        inner, kerb = side * road.half, side * (road.half + 0.17)
        self.base.add(road.strip(kerb, side * (road.half + width), START, END, KERB_HEIGHT), self.material(kind))
        top = road.strip(inner, kerb, START, END, KERB_HEIGHT)
        face = road.strip(inner, inner, START, END, KERB_HEIGHT)
        face[:, 2:, 1] = 0.0
        self.paint.add(top, self.material("kerb_top"))
        self.paint.add(face, self.material("kerb_face"))
        if self._rng.random() < 0.3:
            line = side * (road.half + 0.5 * width)
            self.paint.add(road.strip(line - 0.17, line + 0.17, START, 50.0, KERB_HEIGHT), self.material("tactile"))

    def markings(self) -> None:
        """Add edge lines, a broken or solid centre line, and sometimes an arrow or a crossing."""
        road, rng = self._road, self._rng
        if rng.random() < 0.55:
            colour = self.material("yellow_paint" if rng.random() < 0.25 else "paint")
            for side in (-1, 1):
                line = side * (road.half - 0.35)
                self.paint.add(road.strip(line - 0.07, line + 0.07, START, 80.0), colour)
        if rng.random() < 0.7:
            start = START
            dash, gap = (4.0, 4.0) if rng.random() < 0.7 else (200.0, 0.0)
            start += rng.uniform(0, 4)
            while start < 70:
                self.paint.add(road.strip(-0.07, 0.07, start, min(start + dash, 70.0)), self.material("paint"))
                start += dash + gap
        extra = rng.random()
        if extra < 0.22:
            self._crossing(rng.uniform(7, 22))
        elif extra < 0.45:
            self._arrow(float(rng.choice([-1, 1])) * road.half / 2, rng.uniform(6, 12))

    def _crossing(self, start: float) -> None:
        for left in np.arange(-self._road.half + 0.3, self._road.half - 0.5, 0.95):
            self.paint.add(self._road.strip(left, left + 0.5, start, start + 3.0), self.material("paint"))
        line = start - 1.4
        self.paint.add(self._road.strip(-self._road.half, 0.0, line - 0.35, line), self.material("paint"))

    def _arrow(self, offset: float, start: float) -> None:
        outline = np.array([[-0.08, 0], [0.08, 0], [0.08, 2.2], [0.32, 2.2], [0, 3.6], [-0.32, 2.2], [-0.08, 2.2]])
        x = self._road.middle + offset + outline[:, 0] + self._road.drift(start + outline[:, 1])
        self.paint.add(np.column_stack([x, np.zeros(7), start + outline[:, 1]]), self.material("paint"))

    def litter(self) -> None:
        """Add manhole covers, dark patches and fallen leaves, which only show in visible light."""
        rng, road = self._rng, self._road
        for _ in range(rng.integers(1, 4)):
            z, offset = rng.uniform(4, 18), rng.uniform(-0.7, 0.7) * road.half
            ring = ellipse(road.middle + offset + float(road.drift(z)), z, 0.33, 0.33, 16)
            self.paint.add(np.column_stack([ring[:, 0], np.zeros(16), ring[:, 1]]), self.material("manhole"))
        for _ in range(rng.integers(0, 4)):
            z, offset = rng.uniform(3, 14), rng.uniform(-0.8, 0.4) * road.half
            patch = road.strip(offset, offset + rng.uniform(0.8, 2.2), z, z + rng.uniform(1, 4))
            self.paint.add(
                patch,
                self._palette.add(tint(STREET["asphalt"], self._gain * rng.uniform(0.6, 0.85), self._warm)),
            )
        if rng.random() < 0.35:
            count = 260
            far = 2.8 * (14 / 2.8) ** rng.random(count)
            x = road.middle + (rng.beta(0.6, 0.6, count) * 2 - 1) * (road.half + 1.0) + road.drift(far)
            corners = rng.uniform(-0.06, 0.06, (count, 4, 2))
            across, along = x[:, None] + corners[..., 0], far[:, None] + corners[..., 1]
            self.paint.add(np.stack([across, np.zeros((count, 4)), along], axis=-1), self.material("leaf_litter"))

    def bump(self, start: float) -> None:
        """Add a speed bump across the road, striped yellow and black.

        Args:
            start: Distance of its near edge.
        """
        road = self._road
        depth, stripe = 0.55, 0.5
        count = int(2 * road.half / stripe)
        left = -road.half + stripe * np.arange(count)
        right = np.minimum(left + stripe, road.half)
        middle = road.middle + float(road.drift(start))
        slant = 0.18
        materials = np.array([self.material("bump_yellow"), self.material("bump_black")])[np.arange(count) % 2]
        # The near slope rises to the crest; behind it is the flat top.
        for z0, z1, h0, h1 in ((0.0, 0.2, 0.0, 0.07), (0.2, depth, 0.07, 0.06)):
            x = np.stack([left, right, right + slant * z1, left + slant * z1], axis=1) + middle
            points = np.stack(
                [
                    x,
                    np.broadcast_to([h0, h0, h1, h1], x.shape),
                    np.broadcast_to(start + np.array([z0, z0, z1, z1]), x.shape),
                ],
                axis=-1,
            )
            self.paint.add(points, materials)

    def bays(self, side: int, depth: float, pitch: float, start: float, end: float) -> None:
        """Add a row of parking bays beside the road.

        Args:
            side: -1 for left, 1 for right.
            depth: Depth of a bay in metres.
            pitch: Width of a bay in metres.
            start: Distance of the nearest bay.
            end: Distance beyond which there are none.
        """
        road = self._road
        inner, outer = side * road.half, side * (road.half + depth)
        self.base.add(road.strip(inner, outer, START, END), self.material("asphalt"))
        for z in np.arange(start, end, pitch):
            self.paint.add(road.strip(inner, outer, z - 0.06, z + 0.06), self.material("paint"))
