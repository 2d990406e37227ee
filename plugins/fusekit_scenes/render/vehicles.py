"""Cars, vans and lorries: convex bodies with glass, lights, plates and wheels, for any viewing direction."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fusekit_scenes.render.materials import CAR, Colour, Material, Palette
from fusekit_scenes.render.mesh import Frame, Mesh, Thing, box, facing
from fusekit_scenes.render.vehicle_shapes import SHAPES, Shape

_PAINTS: tuple[Colour, ...] = (
    (0.70, 0.70, 0.70),
    (0.62, 0.62, 0.60),
    (0.40, 0.41, 0.42),
    (0.20, 0.205, 0.21),
    (0.018, 0.018, 0.02),
    (0.03, 0.032, 0.036),
    (0.03, 0.06, 0.20),
    (0.30, 0.02, 0.025),
    (0.33, 0.30, 0.22),
    (0.05, 0.16, 0.26),
)


@dataclass(frozen=True)
class _Finish:
    """Material indices of one vehicle."""

    body: int
    bonnet: int
    roof: int
    low: int
    glass: int
    side_glass: int
    low_glass: int
    tyre: int
    hub: int
    arch: int
    grille: int
    front_lamp: int
    rear_lamp: int
    plate: int
    plate_ink: int
    exhaust: int


def _finish(rng: np.random.Generator, palette: Palette, night: bool, running: bool) -> _Finish:
    paint = _PAINTS[rng.integers(len(_PAINTS))]
    cold = rng.uniform(12, 22)
    engine = rng.uniform(50, 110) if running else cold + rng.choice([0.0, 0.0, 12.0]) * rng.random()
    lit = running and (night or rng.random() < 0.2)
    power = rng.uniform(25, 70) if night else 2.0

    def put(albedo: Colour, heat: float, gloss: float = 0.0, glow: Colour = (0.0, 0.0, 0.0), gain: float = 1.0) -> int:
        red, green, blue = albedo
        return palette.add(Material((red * gain, green * gain, blue * gain), heat, CAR, glow=glow, gloss=gloss))

    off: Colour = (0.0, 0.0, 0.0)
    tail = (1.6, 0.10, 0.05) if lit else off
    return _Finish(
        body=put(paint, cold + 5, 0.08),
        bonnet=put(paint, (0.45 * engine + 0.4 * cold) if running else cold, 0.16),
        roof=put(paint, cold - 5, 0.18),
        low=put(paint, cold + (14 if running else 3), 0.02, gain=0.55),
        glass=put((0.012, 0.014, 0.016), cold * 0.55 + 3, 0.22),
        side_glass=put((0.012, 0.014, 0.016), cold * 0.8 + (9 if running else 2), 0.13),
        low_glass=put((0.015, 0.015, 0.016), cold * 0.7 + 5, 0.07),
        tyre=put((0.018, 0.018, 0.018), rng.uniform(48, 80) if running else cold + 3),
        hub=put((0.30, 0.30, 0.31), rng.uniform(36, 60) if running else cold, 0.1),
        arch=put((0.006, 0.006, 0.006), 44 if running else cold + 1),
        grille=put((0.02, 0.02, 0.02), engine),
        front_lamp=put((0.6, 0.6, 0.6), 58 if lit else cold, 0.2, (power, power * 0.96, power * 0.82) if lit else off),
        rear_lamp=put((0.34, 0.02, 0.02), 30 if lit else cold, 0.05, tail),
        plate=put((0.68, 0.68, 0.64), cold + 3),
        plate_ink=put((0.03, 0.10, 0.05), cold + 3),
        exhaust=put((0.02, 0.02, 0.02), rng.uniform(130, 210) if running else cold),
    )


def _rounded(profile: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """Add points 25 cm inside of both bumpers, where the rounding in plan view begins."""
    rear, front = profile[0], profile[-1]
    return [*profile, (front[0] - 0.25, front[1]), (rear[0] + 0.25, rear[1])]


class _Builder:
    """Builder of one vehicle; only faces that face the camera are kept."""

    def __init__(self, shape: Shape, frame: Frame, finish: _Finish, eye: float) -> None:
        self.mesh = Mesh()
        self._shape, self._frame, self._finish, self._eye = shape, frame, finish, eye
        self._centre = frame.world(np.array([0.0, 0.0, 0.7]))

    def _half(self, along: float) -> float:
        """Half width at a position along the body, with bumpers rounded in plan view."""
        return self._shape.width / 2 * (1.0 - 0.13 * abs(2 * along / self._shape.length) ** 8)

    def _seen(self, local: np.ndarray) -> tuple[np.ndarray, bool]:
        world = self._frame.world(local)
        return world, bool(facing(world[None], self._centre, self._eye)[0])

    def _overlay(self, corners: tuple[np.ndarray, ...], material: int, spans: np.ndarray) -> None:
        """Add rectangles on a quadrilateral face.

        Args:
            corners: Lower left, lower right, upper right, upper left of the face, ``(3,)`` each.
            material: Index of the material.
            spans: Rows of (left, right, bottom, top) as shares of the face, ``(n, 4)``.
        """
        a, b, c, d = corners

        def at(s: np.ndarray, t: np.ndarray) -> np.ndarray:
            s, t = s[:, None], t[:, None]
            return (1 - t) * ((1 - s) * a + s * b) + t * ((1 - s) * d + s * c)

        left, right, bottom, top = np.asarray(spans, float).T
        self.mesh.add(np.stack([at(left, bottom), at(right, bottom), at(right, top), at(left, top)], axis=1), material)

    def underside(self, belly: int) -> None:
        """Add the dark underbody and the four tyres, as visible below the bumpers."""
        shape, frame = self._shape, self._frame
        low = shape.body[0][1] + 0.02
        # Rows of (along, right, length, width, base): the underbody first, then the tyres.
        rows = [(0.0, 0.0, 0.86 * shape.length, 0.86 * shape.width, 0.17)]
        for along in (0.30 * shape.length, -0.31 * shape.length):
            for right in (-1, 1):
                rows.append((along, right * (shape.width / 2 - 0.13), 1.3 * shape.wheel, 0.22, 0.0))
        places = [frame.world(np.array([along, right, 0.0])) for along, right, *_ in rows]
        for i in sorted(range(len(rows)), key=lambda i: -places[i][2]):
            length, width, base = rows[i][2:]
            here = Frame(float(places[i][0]), float(places[i][2]), frame.yaw)
            faces = box(here, (length, width, low - base), base)
            seen = facing(faces, here.world(np.array([0.0, 0.0, (base + low) / 2])), self._eye)
            self.mesh.add(faces[seen], self._finish.tyre if i else belly)

    def mirrors(self) -> None:
        """Add the wing mirrors."""
        along, high = self._shape.cabin[3]
        for sign in (-1.0, 1.0):
            right = sign * (self._shape.width / 2 + 0.03)
            place = self._frame.world(np.array([along - 0.15, right, 0.0]))
            here = Frame(float(place[0]), float(place[2]), self._frame.yaw)
            faces = box(here, (0.10, 0.16, 0.11), high + 0.06)
            seen = facing(faces, here.world(np.array([0.0, 0.0, high + 0.13])), self._eye)
            self.mesh.add(faces[seen], np.array([self._finish.glass] + 4 * [self._finish.body])[seen])

    def strips(self) -> None:
        """Add bumpers, bonnet and boot: the profile swept over the width."""
        profile, finish = self._shape.body, self._finish
        last = len(profile) - 2
        for i, ((l0, h0), (l1, h1)) in enumerate(pairwise(profile)):
            w0, w1 = self._half(l0), self._half(l1)
            local = np.array([[l0, -w0, h0], [l0, w0, h0], [l1, w1, h1], [l1, -w1, h1]])
            world, seen = self._seen(local)
            if not seen:
                continue
            material = finish.bonnet if i >= 2 and i < last else finish.body
            self.mesh.add(world, material)
            corners = tuple(world)
            if i == 0:
                self._rear(corners)
            elif i == 1:
                self._overlay(corners, finish.rear_lamp, np.array([[0.02, 0.2, 0.05, 0.8], [0.8, 0.98, 0.05, 0.8]]))
            elif i == last - 1:
                self._front(corners)
            elif i == last:
                self._overlay(corners, finish.low, np.array([[0, 1, 0.55, 1.0]]))

    def _rear(self, corners: tuple[np.ndarray, ...]) -> None:
        finish = self._finish
        self._overlay(corners, finish.low, np.array([[0.0, 1.0, 0.0, 0.28]]))
        self._overlay(corners, finish.exhaust, np.array([[0.72, 0.80, 0.02, 0.16]]))
        self._plate(corners, 0.36, 0.50, 0.86)

    def _front(self, corners: tuple[np.ndarray, ...]) -> None:
        # The front strip runs downwards: shares along it are relative to its upper edge.
        finish = self._finish
        self._overlay(corners, finish.grille, np.array([[0.30, 0.70, 0.12, 0.58]]))
        self._overlay(corners, finish.front_lamp, np.array([[0.02, 0.23, 0.06, 0.56], [0.77, 0.98, 0.06, 0.56]]))
        self._plate(corners, 0.40, 0.98, 0.66)

    def _plate(self, corners: tuple[np.ndarray, ...], left: float, low: float, high: float) -> None:
        right = 1.0 - left
        self._overlay(corners, self._finish.plate, np.array([[left, right, low, high]]))
        step, rise = (right - left) / 6, high - low
        starts = left + step * (np.arange(5) + 0.7)
        ink = np.column_stack(
            [starts, starts + 0.6 * step, np.full(5, low + 0.2 * rise), np.full(5, low + 0.75 * rise)]
        )
        self._overlay(corners, self._finish.plate_ink, ink)

    def sides(self) -> None:
        """Add the sides with wheels."""
        finish, shape = self._finish, self._shape
        for sign in (-1.0, 1.0):
            profile = _rounded(shape.body)
            outline = np.array([(along, sign * self._half(along), high) for along, high in profile])
            # The side bends inwards at both ends; its middle part determines whether it is visible.
            half, reach = sign * shape.width / 2, 0.3 * shape.length
            plate = np.array([[-reach, half, 0.4], [reach, half, 0.4], [reach, half, 0.9]])
            if not self._seen(plate)[1]:
                continue
            self.mesh.add(self._frame.world(outline), finish.body)
            sill = np.array([(-1, 0.0), (1, 0.0), (1, 0.16), (-1, 0.16)]) * (shape.length * 0.49, 1.0)
            low = shape.body[0][1]
            side = np.full(4, sign * shape.width / 2)
            self.mesh.add(self._frame.world(np.column_stack([sill[:, 0], side, low + sill[:, 1]])), finish.low)
            for along in (-0.31 * shape.length, 0.30 * shape.length):
                for radius, material in (
                    (shape.wheel * 1.22, finish.arch),
                    (shape.wheel, finish.tyre),
                    (shape.wheel * 0.62, finish.hub),
                    (shape.wheel * 0.16, finish.arch),
                ):
                    self._disc(along, sign * shape.width / 2, radius, material)

    def _disc(self, along: float, right: float, radius: float, material: int) -> None:
        angle = np.arange(16) * np.pi / 8
        # Arches end at the ground clearance of the body; tyres touch the ground.
        height = np.maximum(self._shape.wheel + radius * np.sin(angle), 0.0)
        if radius > self._shape.wheel:
            height = np.maximum(height, self._shape.body[0][1])
        local = np.column_stack([along + radius * np.cos(angle), np.full(16, right), height])
        self.mesh.add(self._frame.world(local), material)

    def cabin(self) -> None:
        """Add the cabin with its windows."""
        shape, finish = self._shape, self._finish
        base, top = shape.width / 2 - 0.04, shape.width / 2 - shape.taper
        (l0, h0), (l1, h1), (l2, h2), (l3, h3) = shape.cabin
        centre = self._frame.world(np.array([(l0 + l3) / 2, 0.0, (h0 + h1) / 2 - 0.1]))
        left = np.array([[l0, -base, h0], [l3, -base, h3], [l2, -top, h2], [l1, -top, h1]])
        right = left * (1.0, -1.0, 1.0)
        rear = np.array([[l0, -base, h0], [l0, base, h0], [l1, top, h1], [l1, -top, h1]])
        front = np.array([[l3, -base, h3], [l3, base, h3], [l2, top, h2], [l2, -top, h2]])
        roof = np.array([[l1, -top, h1], [l1, top, h1], [l2, top, h2], [l2, -top, h2]])
        world = self._frame.world(np.stack([left, right, rear, front, roof]))
        seen = facing(world, centre, self._eye)
        panes = np.array([(start, end, 0.10, 0.86) for start, end in shape.panes])
        for i in np.flatnonzero(seen).tolist():
            self.mesh.add(world[i], finish.roof if i == 4 else finish.body)
            if i < 2:
                self._overlay(tuple(world[i]), finish.side_glass, panes)
            elif i < 4:
                self._overlay(tuple(world[i]), finish.glass, np.array([[0.06, 0.94, 0.08, 0.92]]))
                # The lower half shows the dark interior with seats.
                self._overlay(tuple(world[i]), finish.side_glass, np.array([[0.09, 0.91, 0.08, 0.46]]))
                self._overlay(
                    tuple(world[i]),
                    finish.low_glass,
                    np.array([[0.22, 0.36, 0.2, 0.56], [0.64, 0.78, 0.2, 0.56]]),
                )

    def load(self, material: int, dark: int) -> None:
        """Add the box of a lorry."""
        length = 4.4
        place = self._frame.world(np.array([-0.85, 0.0, 0.0]))
        frame = Frame(float(place[0]), float(place[2]), self._frame.yaw)
        faces = box(frame, (length, self._shape.width, 1.75), 0.95)
        seen = facing(faces, frame.world(np.array([0.0, 0.0, 1.8])), self._eye)
        self.mesh.add(faces[seen], material)
        if seen[0]:
            self._overlay(tuple(faces[0]), dark, np.array([[0.49, 0.51, 0.03, 0.97], [0.05, 0.95, 0.0, 0.04]]))


def car(
    rng: np.random.Generator,
    palette: Palette,
    frame: Frame,
    eye: float,
    night: bool,
    running: bool,
    kind: str,
) -> Thing:
    """Build a vehicle.

    Args:
        rng: Random generator.
        palette: Materials of the scene.
        frame: Position of its middle and heading.
        eye: Height of the camera, for culling hidden faces.
        night: Whether it is night, when running vehicles have their lights on.
        running: Whether engine, tyres and exhaust are warm.
        kind: Key of :data:`SHAPES`.

    Returns:
        The vehicle.
    """
    shape = SHAPES[kind]
    finish = _finish(rng, palette, night, running)
    builder = _Builder(shape, frame, finish, eye)
    belly = palette.add(Material((0.008, 0.008, 0.008), 42.0 if running else 13.0, CAR))
    builder.underside(belly)
    builder.strips()
    builder.sides()
    if kind == "lorry":
        builder.load(palette.add(Material((0.5, 0.52, 0.55), 20.0, CAR)), finish.low)
    builder.cabin()
    builder.mirrors()
    shadow = Mesh()
    shadow.add(box(frame, (shape.length * 0.98, shape.width, 0.75), 0.2), 0)
    roof = float(np.mean([along for along, _ in shape.cabin]))
    place = frame.world(np.array([roof if kind != "lorry" else 0.0, 0.0, 0.0]))
    span = shape.cabin[3][0] - shape.cabin[0][0] if kind != "lorry" else shape.length
    top = shape.cabin[1][1] if kind != "lorry" else 2.7
    shadow.add(
        box(
            Frame(float(place[0]), float(place[2]), frame.yaw),
            (span * 0.8, shape.width * 0.85, top - 0.3),
            0.3,
        ),
        0,
    )
    contact = frame.footprint(shape.length * 0.5, shape.width * 0.5)
    return Thing(builder.mesh, frame.z, shadow=shadow, foot=(frame.x, frame.z), contact=contact)
