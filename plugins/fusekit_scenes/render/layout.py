"""Random generation of a street: its objects and their positions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fusekit_scenes.render import furniture
from fusekit_scenes.render.bikes import bike
from fusekit_scenes.render.buildings import backdrop, house
from fusekit_scenes.render.ground import Ground, Road
from fusekit_scenes.render.materials import Palette
from fusekit_scenes.render.mesh import Frame, Thing
from fusekit_scenes.render.people import person
from fusekit_scenes.render.plants import hedge, tree
from fusekit_scenes.render.vehicles import SHAPES, car

_KINDS = ("sedan", "hatch", "suv", "van", "lorry")
_SHARES = (0.32, 0.27, 0.18, 0.17, 0.06)


@dataclass(frozen=True)
class Lamp:
    """A point light.

    Attributes:
        place: World position ``(x, y, z)`` in metres.
        power: Radiant intensity per channel; with 1, a white wall at 1 m is saturated.
        aim: Unit direction of the beam.
        narrow: Exponent of the decay of the beam away from its direction.
    """

    place: tuple[float, float, float]
    power: tuple[float, float, float]
    aim: tuple[float, float, float]
    narrow: float


@dataclass
class Street:
    """Contents of one scene.

    Attributes:
        night: Whether it is night.
        palette: Materials of the scene.
        things: Objects of the scene.
        lamps: Lights that are on.
    """

    night: bool
    palette: Palette = field(default_factory=Palette)
    things: list[Thing] = field(default_factory=list)
    lamps: list[Lamp] = field(default_factory=list)


class _Planner:
    """Generator of one street; every method adds one kind of object."""

    def __init__(self, rng: np.random.Generator, night: bool, eye: float) -> None:
        self.street = Street(night)
        self._rng, self._night, self._eye = rng, night, eye
        half = rng.uniform(2.7, 4.6)
        self._road = Road(
            middle=float(rng.uniform(-0.75, 0.75) * half),
            half=half,
            bend=float(rng.choice([0.0, 0.0, rng.uniform(-0.004, 0.004)])),
            verge=(rng.uniform(1.6, 4.0), rng.uniform(1.6, 4.0)),
        )
        self._ground = Ground(rng, self.street.palette, self._road)
        self._sides = {side: str(rng.choice(["houses", "green", "parking"], p=[0.45, 0.35, 0.20])) for side in (-1, 1)}
        self._taken: list[tuple[float, float, float]] = []

    def _put(self, thing: Thing) -> None:
        self.street.things.append(thing)

    def _free(self, x: float, z: float, radius: float) -> bool:
        """Reserve a circular area on the ground; False if it overlaps a reserved one."""
        if any((x - a) ** 2 + (z - b) ** 2 < (radius + r) ** 2 for a, b, r in self._taken):
            return False
        self._taken.append((x, z, radius))
        return True

    def _verge(self, side: int) -> float:
        return self._road.verge[0 if side < 0 else 1]

    def ground(self) -> None:
        """Add roadway, kerbs, pavements and markings."""
        rng = self._rng
        self._ground.surface(
            str(rng.choice(["grass", "soil", "paving"])),
            str(rng.choice(["asphalt", "asphalt", "asphalt", "setts"])),
        )
        for side in (-1, 1):
            if self._sides[side] == "parking":
                self._parking(side)
            else:
                self._ground.pavement(side, str(rng.choice(["paving", "paving", "asphalt", "grass"])))
        self._ground.litter()
        self._ground.markings()
        if rng.random() < 0.22:
            self._ground.bump(rng.uniform(4.5, 15.0))
        for thing in self._ground.things():
            self._put(thing)

    def _parking(self, side: int) -> None:
        rng, road = self._rng, self._road
        depth, pitch, start = rng.uniform(4.8, 5.4), rng.uniform(2.5, 2.9), rng.uniform(2.0, 5.0)
        self._ground.bays(side, depth, pitch, start, 45.0)
        for z in np.arange(start, 34.0, pitch) + pitch / 2:
            heading = road.heading(z) + side * np.pi / 2
            for shift in (-0.5, 0.5):
                stop = Frame(road.edge(side, z, depth - 0.8), float(z + shift), heading + np.pi / 2)
                self._put(furniture.wheel_stop(self.street.palette, stop, (0.62, 0.16, 0.13), self._eye))
            if rng.random() < 0.36 and z > 6.0:
                nose_in = heading if rng.random() < 0.6 else heading + np.pi
                self._car(
                    road.edge(side, z, depth / 2 - 0.1),
                    float(z),
                    nose_in + rng.normal(0, 0.03),
                    running=rng.random() < 0.08,
                )

    def _car(self, x: float, z: float, yaw: float, running: bool) -> None:
        kind = str(self._rng.choice(_KINDS, p=_SHARES))
        if not self._free(x, z, 0.40 * SHAPES[kind].length):
            return
        frame = Frame(x, z, yaw)
        self._put(car(self._rng, self.street.palette, frame, self._eye, self._night, running, kind))
        if running and self._night:
            front = frame.world(np.array([SHAPES[kind].length / 2 + 0.2, 0.0, 0.65]))
            aim = (float(np.sin(yaw)), -0.10, float(np.cos(yaw)))
            power = self._rng.uniform(4.0, 11.0)
            place = (float(front[0]), float(front[1]), float(front[2]))
            self.street.lamps.append(Lamp(place, (power, 0.97 * power, 0.85 * power), aim, 14.0))

    def surroundings(self) -> None:
        """Add houses, hedges and trees along the street and the backdrop at its far end."""
        for side in (-1, 1):
            if self._sides[side] == "houses":
                self._houses(side, self._verge(side))
            else:
                self._green(side)
        rng = self._rng
        for x in np.arange(-70.0, 71.0, rng.uniform(16, 30)):
            if rng.random() < 0.75:
                place = float(x + rng.normal(0, 4))
                self._put(backdrop(rng, self.street.palette, place, rng.uniform(95, 125), self._night))
        for x in np.arange(-46.0, 47.0, rng.uniform(4.5, 8.0)):
            self._put(
                tree(
                    rng,
                    self.street.palette,
                    float(x + rng.normal(0, 2)),
                    rng.uniform(82, 94),
                    rng.uniform(5, 12),
                )
            )

    def _houses(self, side: int, offset: float) -> None:
        rng, road = self._rng, self._road
        z = rng.uniform(-4.0, 9.0)
        storeys = rng.uniform(2.2, 5.5)
        while z < 85:
            length = rng.uniform(8, 22)
            back = offset + rng.choice([0.0, 0.0, rng.uniform(0, 3)])
            height = 3.3 * max(2.0, storeys + rng.normal(0, 0.8))
            near = (road.edge(side, z, back), float(z))
            far = (road.edge(side, z + length, back), float(z + length))
            self._put(house(rng, self.street.palette, near, far, height, self._night))
            z += length + rng.choice([0.0, rng.uniform(1, 7)])
        if rng.random() < 0.45:
            self._trees(side, 0.8, rng.uniform(9, 16), (4.5, 7.5))

    def _green(self, side: int) -> None:
        rng, road = self._rng, self._road
        beyond = (5.6 if self._sides[side] == "parking" else self._verge(side)) + 0.6
        if rng.random() < 0.8:
            height = rng.uniform(0.7, 1.5)
            for z in np.arange(rng.uniform(2.5, 6), 50, 3.1):
                if rng.random() < 0.9:
                    frame = Frame(road.edge(side, z, beyond), float(z), road.heading(z))
                    self._put(hedge(rng, self.street.palette, frame, (3.1, 0.9, height), self._eye))
        self._trees(side, beyond + rng.uniform(0.9, 2.0), rng.uniform(4.5, 9), (6.5, 14.0))
        if rng.random() < 0.65:
            self._houses(side, beyond + rng.uniform(6, 12))

    def _trees(self, side: int, beyond: float, pitch: float, heights: tuple[float, float]) -> None:
        rng = self._rng
        for z in np.arange(rng.uniform(6, 14), 62, pitch):
            x = self._road.edge(side, z, beyond + rng.normal(0, 0.3))
            if self._free(x, float(z), 0.3):
                self._put(tree(rng, self.street.palette, x, float(z + rng.normal(0, 0.4)), rng.uniform(*heights)))

    def lights(self) -> None:
        """Add street lamps, and at night sometimes the headlights of the camera's own car."""
        rng, road, night = self._rng, self._road, self._night
        tone = [(1.0, 0.95, 0.80), (1.0, 0.80, 0.48), (0.85, 1.0, 0.85)][rng.integers(3)]
        working = rng.random() < 0.85
        side, height = int(rng.choice([-1, 1])), rng.uniform(4.0, 6.5)
        for z in np.arange(rng.uniform(7, 17), 66, rng.uniform(15, 24)):
            lit = night and working and rng.random() < 0.9
            x, arm = road.edge(side, z, 0.6), -side * rng.uniform(0.7, 1.6)
            power = rng.uniform(2.0, 9.0)
            glow = (22 * tone[0], 22 * tone[1], 22 * tone[2]) if lit else None
            self._put(furniture.lamp(self.street.palette, x, float(z), height, arm, glow))
            if lit and z < 50:
                place = (x + arm, height - 0.15, float(z))
                colour = (power * tone[0], power * tone[1], power * tone[2])
                self.street.lamps.append(Lamp(place, colour, (0.0, -1.0, 0.0), 1.3))
            side = -side if rng.random() < 0.5 else side
        if night and rng.random() < 0.5:
            power = rng.uniform(0.8, 7.0)
            self.street.lamps.append(Lamp((0.0, 0.75, 0.2), (power * 0.9, power, power * 0.8), (0.0, -0.06, 1.0), 10.0))

    def vehicles(self) -> None:
        """Add driving, parked and crossing vehicles."""
        rng, road = self._rng, self._road
        for side in (-1, 1):
            if self._sides[side] != "parking" and rng.random() < 0.38:
                z = rng.uniform(6.5, 15)
                for _ in range(rng.integers(1, 5)):
                    yaw = road.heading(z) + (np.pi if (side > 0) == (rng.random() < 0.8) else 0.0)
                    self._car(road.edge(side, z, -1.1), z, yaw + rng.normal(0, 0.03), running=rng.random() < 0.12)
                    z += rng.uniform(5.6, 10)
        for _ in range(rng.choice([0, 1, 2, 3], p=[0.36, 0.36, 0.20, 0.08])):
            z = 10.0 * (60 / 10.0) ** rng.random()
            side = int(rng.choice([-1, 1]))
            oncoming = side > 0
            x = road.middle + side * road.half * 0.45 + float(road.drift(z))
            self._car(x, z, road.heading(z) + (np.pi if oncoming else 0.0), running=True)
        if rng.random() < 0.2:
            z = rng.uniform(11, 28)
            x = road.middle + rng.uniform(-1, 1) * (road.half + 1.0) + float(road.drift(z))
            self._car(x, z, float(rng.choice([-1, 1])) * np.pi / 2 + rng.normal(0, 0.25), running=rng.random() < 0.7)

    def small_things(self) -> None:
        """Add signs, cones, guardrails and lane blocks."""
        rng, road, palette = self._rng, self._road, self.street.palette
        for _ in range(rng.integers(0, 4)):
            side, z = int(rng.choice([-1, 1])), rng.uniform(7, 35)
            self._put(furniture.sign(rng, palette, road.edge(side, z, 0.45), z))
        if rng.random() < 0.28:
            side, z, blue = int(rng.choice([-1, 1])), rng.uniform(4.5, 12), rng.random() < 0.25
            height = rng.uniform(0.6, 0.95)
            for _ in range(rng.integers(1, 6)):
                x = road.edge(side, z, -rng.uniform(0.3, 1.3))
                if self._free(x, z, 0.2):
                    self._put(furniture.cone(palette, x, z, height, blue))
                z += rng.uniform(1.2, 4.0)
        if rng.random() < 0.28:
            side, pipes, pitch = int(rng.choice([-1, 1])), rng.random() < 0.5, rng.uniform(1.8, 2.6)
            if self._sides[side] != "parking":
                start = rng.uniform(3.0, 9.0)
                for z in np.arange(start, start + rng.uniform(8, 36), pitch).tolist():
                    ends = [(road.edge(side, d, 0.35), d) for d in (z, z + pitch)]
                    self._put(furniture.guardrail(palette, ends[0], ends[1], pipes))
        if rng.random() < 0.12:
            side, z = int(rng.choice([-1, 1])), rng.uniform(4, 7)
            while z < 30:
                frame = Frame(road.edge(side, z, -0.9), z, road.heading(z))
                if self._free(frame.x, frame.z, 0.5):
                    self._put(furniture.wheel_stop(palette, frame, (0.9, 0.35, 0.22), self._eye))
                z += rng.uniform(1.8, 2.4)

    def people(self) -> None:
        """Add pedestrians, alone and in groups, and bicycles."""
        rng, road = self._rng, self._road
        for _ in range(rng.choice([0, 1, 2, 3, 4, 5], p=[0.05, 0.15, 0.25, 0.25, 0.18, 0.12])):
            z = 4.8 * (38 / 4.8) ** float(rng.beta(1.15, 1.3))
            side = int(rng.choice([-1, 1]))
            on_road = rng.random() < 0.35
            offset = (
                -rng.uniform(0.2, 0.9) * road.half if on_road else rng.uniform(0.4, max(self._verge(side) - 0.3, 0.6))
            )
            yaw = float(rng.choice([0.0, np.pi, np.pi / 2, -np.pi / 2], p=[0.33, 0.33, 0.17, 0.17])) + rng.normal(
                0, 0.3
            )
            self._walkers(road.edge(side, z, offset), z, yaw)
        for lamp in list(self.street.lamps):
            # A person right beside a headlight is hidden from the visible camera by glare.
            if lamp.aim[2] < -0.5 and rng.random() < 0.5:
                x = lamp.place[0] + float(rng.choice([-1, 1])) * rng.uniform(1.2, 2.0)
                self._walkers(x, lamp.place[2] + rng.uniform(-0.5, 1.0), rng.normal(np.pi, 0.4))
        if rng.random() < 0.35:
            z = rng.uniform(6, 24)
            side = int(rng.choice([-1, 1]))
            yaw = road.heading(z) + float(rng.choice([0.0, np.pi, np.pi / 2, -np.pi / 2])) + rng.normal(0, 0.3)
            x = road.edge(side, z, -rng.uniform(0.4, 1.4))
            if self._free(x, z, 0.7):
                self._put(bike(rng, self.street.palette, Frame(x, z, yaw), self._night, ridden=True))
        if rng.random() < 0.32:
            self._bike_row()

    def _walkers(self, x: float, z: float, yaw: float) -> None:
        rng = self._rng
        for _ in range(rng.choice([1, 2, 3], p=[0.62, 0.28, 0.10])):
            if self._free(x, z, 0.24):
                self._put(person(rng, self.street.palette, Frame(x, z, yaw + rng.normal(0, 0.15)), self._night))
            x, z = x + rng.uniform(0.5, 0.75), z + rng.normal(0, 0.35)

    def _bike_row(self) -> None:
        rng, road = self._rng, self._road
        side, z = int(rng.choice([-1, 1])), rng.uniform(6, 16)
        yaw = side * rng.uniform(0.7, 1.6)
        for _ in range(rng.integers(1, 8)):
            x = road.edge(side, z, max(self._verge(side) - 0.9, 0.7))
            if self._free(x, z, 0.25):
                self._put(
                    bike(
                        rng,
                        self.street.palette,
                        Frame(x, z, yaw + rng.normal(0, 0.08)),
                        self._night,
                        ridden=False,
                    )
                )
            z += rng.uniform(0.55, 0.9)


def plan_street(rng: np.random.Generator, night: bool, eye: float) -> Street:
    """Generate a street.

    Args:
        rng: Random generator.
        night: Whether it is night.
        eye: Height of the camera in metres.

    Returns:
        The street, independent of any image size.
    """
    planner = _Planner(rng, night, eye)
    planner.ground()
    planner.surroundings()
    planner.lights()
    planner.vehicles()
    planner.small_things()
    planner.people()
    return planner.street
