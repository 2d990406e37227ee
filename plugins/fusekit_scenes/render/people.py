"""Persons: a skeleton in space with camera-facing limbs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fusekit_scenes.render.materials import PERSON, Colour, Material, Palette, Texture
from fusekit_scenes.render.mesh import Frame, Mesh, Thing, capsule, ellipse, upright

_CLOTHES: tuple[Colour, ...] = (
    (0.018, 0.018, 0.022),
    (0.03, 0.032, 0.045),
    (0.022, 0.035, 0.10),
    (0.07, 0.065, 0.06),
    (0.16, 0.16, 0.17),
    (0.55, 0.54, 0.52),
    (0.36, 0.27, 0.17),
    (0.36, 0.04, 0.04),
    (0.06, 0.14, 0.07),
    (0.10, 0.18, 0.34),
    (0.52, 0.37, 0.06),
)
_DARK = 4
_SKIN: tuple[Colour, ...] = ((0.50, 0.33, 0.25), (0.40, 0.25, 0.17), (0.20, 0.11, 0.07))
_HAIR: tuple[Colour, ...] = ((0.015, 0.013, 0.012), (0.05, 0.03, 0.02), (0.22, 0.20, 0.18))

Joints = Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Outfit:
    """Material indices of a person's clothes and skin (``*_lit`` is the rounded middle of a limb)."""

    skin: int
    hair: int
    top: int
    top_lit: int
    legs: int
    legs_lit: int
    shoes: int
    bag: int


def _shades(palette: Palette, colour: Colour, heat: float) -> tuple[int, int]:
    """Rim and middle of a rounded, clothed limb."""
    red, green, blue = colour
    rim = Material((red * 0.78, green * 0.78, blue * 0.78), heat * 0.86, PERSON, texture=Texture.CLOTH)
    middle = Material((red * 1.1, green * 1.1, blue * 1.1), heat * 1.08, PERSON, texture=Texture.CLOTH)
    return palette.add(rim), palette.add(middle)


def dress(rng: np.random.Generator, palette: Palette, night: bool) -> Outfit:
    """Sample an outfit.

    Args:
        rng: Random generator.
        palette: Materials of the scene.
        night: Whether it is night, when the air is colder and clothes are thicker.

    Returns:
        The outfit.
    """
    warmth = rng.uniform(0.8, 1.3)

    def cloth(heat: float) -> tuple[int, int]:
        among = _DARK if rng.random() < 0.6 else len(_CLOTHES)
        return _shades(palette, _CLOTHES[rng.integers(among)], heat)

    top, top_lit = cloth((96 if night else 104) * warmth * rng.uniform(0.8, 1.2))
    legs, legs_lit = cloth((104 if night else 98) * warmth * rng.uniform(0.8, 1.2))
    bag = _CLOTHES[rng.integers(len(_CLOTHES))]
    return Outfit(
        skin=palette.add(Material(_SKIN[rng.integers(3)], 168 * warmth, PERSON)),
        hair=palette.add(Material(_HAIR[rng.integers(3)], 104 * warmth, PERSON, texture=Texture.CLOTH)),
        top=top,
        top_lit=top_lit,
        legs=legs,
        legs_lit=legs_lit,
        shoes=palette.add(Material((0.04, 0.04, 0.04), 62 * warmth, PERSON)),
        bag=palette.add(Material(bag, 34, PERSON, texture=Texture.CLOTH)),
    )


def walking(rng: np.random.Generator, height: float) -> dict[str, tuple[float, float, float]]:
    """Joints of a walking or standing person.

    Args:
        rng: Random generator.
        height: Body height in metres.

    Returns:
        Joint name → (forward, right, height) in metres.
    """
    stride = rng.uniform(-0.17, 0.17) * height
    if rng.random() < 0.3:
        stride *= 0.15
    lift = 0.25 * abs(stride)
    swing = -0.8 * stride
    bend = rng.uniform(0.02, 0.10) * height
    pose = {"head": (0.015 * height, 0.0, 0.93 * height)}
    for side, sign, step in (("l", -1.0, stride), ("r", 1.0, -stride)):
        back_lift = lift if step < 0 else 0.0
        arm = swing if side == "l" else -swing
        pose[f"shoulder_{side}"] = (0.0, sign * 0.108 * height, 0.785 * height)
        pose[f"hip_{side}"] = (0.0, sign * 0.052 * height, 0.50 * height)
        pose[f"knee_{side}"] = (0.55 * step + 0.02 * height, sign * 0.055 * height, 0.275 * height)
        pose[f"foot_{side}"] = (step - back_lift * 0.4, sign * 0.055 * height, 0.035 * height + back_lift)
        pose[f"elbow_{side}"] = (0.45 * arm - 0.015 * height, sign * 0.15 * height, 0.64 * height)
        pose[f"hand_{side}"] = (arm + bend, sign * 0.155 * height, (0.49 + 0.12 * abs(arm)) * height)
    return pose


def riding(height: float) -> dict[str, tuple[float, float, float]]:
    """Joints of a person on a bicycle.

    Args:
        height: Body height in metres.

    Returns:
        Joint name → (forward, right, height) in metres, relative to the middle of the bicycle.
    """
    scale = height / 1.7
    pose = {"head": (0.16 * scale, 0.0, 0.93 + 0.66 * scale)}
    for side, sign, pedal in (("l", -1.0, 0.12), ("r", 1.0, 0.36)):
        pose[f"shoulder_{side}"] = (0.10 * scale, sign * 0.19 * scale, 0.93 + 0.46 * scale)
        pose[f"hip_{side}"] = (-0.20, sign * 0.09 * scale, 0.95)
        pose[f"knee_{side}"] = (0.20, sign * 0.12, 0.52 + pedal * 0.7)
        pose[f"foot_{side}"] = (0.04 + pedal * 0.2, sign * 0.12, pedal + 0.03)
        pose[f"elbow_{side}"] = (0.24 * scale, sign * 0.26 * scale, 0.93 + 0.22 * scale)
        pose[f"hand_{side}"] = (0.46, sign * 0.24, 1.02)
    return pose


class _Body:
    """Adds one posed body to a mesh."""

    def __init__(self, mesh: Mesh, frame: Frame, pose: Joints, height: float) -> None:
        self._mesh = mesh
        self._frame = frame
        self._height = height
        self._joints = {name: frame.world(np.array(place)) for name, place in pose.items()}

    def joint(self, name: str) -> np.ndarray:
        """World position of a joint, ``(3,)``."""
        return self._joints[name]

    def outline(self, shape: np.ndarray, depth: float, material: int) -> None:
        """Add a camera-facing shape given in world X and Y."""
        self._mesh.add(upright(0.0, depth, shape), material)

    def limb(self, names: tuple[str, str, str], radii: tuple[float, ...], rim: int, middle: int) -> None:
        """Add a rounded limb of two bones; the four radii are relative to the body height.

        Both rims are drawn before both middles, so that there is no dark ring at knee or elbow.
        """
        sizes = np.array(radii) * self._height
        for width, shift, material in ((1.0, 0.0, rim), (0.6, 0.18, middle)):
            for i in (0, 1):
                start, end = self.joint(names[i]), self.joint(names[i + 1])
                first, last = sizes[2 * i], sizes[2 * i + 1]
                aside = np.array([shift * first, 0.0])
                shape = capsule(start[:2] + aside, end[:2] + aside, width * first, width * last)
                self.outline(shape, float(start[2] + end[2]) / 2, material)

    def leg(self, side: str, wear: Outfit) -> None:
        """Add one leg with its shoe."""
        foot = self.joint(f"foot_{side}")
        toe = foot + self._frame.world(np.array([0.12, 0.0, 0.0])) - self._frame.world(np.zeros(3))
        sole = capsule(foot[:2], toe[:2] - (0.0, 0.012), 0.024 * self._height, 0.020 * self._height)
        bones = (f"hip_{side}", f"knee_{side}", f"foot_{side}")
        self.limb(bones, (0.052, 0.038, 0.036, 0.026), wear.legs, wear.legs_lit)
        self.outline(sole, float(foot[2]), wear.shoes)

    def arm(self, side: str, wear: Outfit) -> None:
        """Add one arm with its hand."""
        hand = self.joint(f"hand_{side}")
        bones = (f"shoulder_{side}", f"elbow_{side}", f"hand_{side}")
        self.limb(bones, (0.033, 0.027, 0.026, 0.021), wear.top, wear.top_lit)
        radius = 0.023 * self._height
        self.outline(ellipse(hand[0], hand[1], radius, radius * 1.2, 8), float(hand[2]), wear.skin)

    def torso(self, wear: Outfit, hem: float) -> None:
        """Add the torso; ``hem`` is the length of a coat below the hips in metres."""
        shoulder = (self.joint("shoulder_l") + self.joint("shoulder_r")) / 2
        hip = (self.joint("hip_l") + self.joint("hip_r")) / 2
        spread = abs(self.joint("shoulder_l")[0] - self.joint("shoulder_r")[0]) / 2
        # Seen from the side, the chest is about 20 cm deep.
        chest = max(spread, 0.066 * self._height) + 0.012 * self._height
        waist = max(spread * 0.72, 0.060 * self._height)
        top, low = shoulder[1] + 0.052 * self._height, hip[1] - 0.03 * self._height - hem
        for width, material in ((1.0, wear.top), (0.62, wear.top_lit)):
            shape = np.array(
                [
                    [shoulder[0] - 0.40 * chest * width, top],
                    [shoulder[0] + 0.40 * chest * width, top],
                    [shoulder[0] + chest * width, shoulder[1] + 0.015 * self._height],
                    [shoulder[0] + 0.92 * chest * width, (shoulder[1] + hip[1]) / 2],
                    [hip[0] + waist * width * (1.12 if hem else 1.0), low],
                    [hip[0] - waist * width * (1.12 if hem else 1.0), low],
                    [shoulder[0] - 0.92 * chest * width, (shoulder[1] + hip[1]) / 2],
                    [shoulder[0] - chest * width, shoulder[1] + 0.015 * self._height],
                ]
            )
            self.outline(shape, float(shoulder[2] + hip[2]) / 2, material)

    def head(self, wear: Outfit) -> None:
        """Add neck, face and hair; from behind only hair is visible."""
        head, h = self.joint("head"), self._height
        depth = float(head[2])
        neck = np.array([head[0], head[1] - 0.09 * h])
        self.outline(capsule(neck, head[:2], 0.030 * h, 0.034 * h), depth, wear.skin)
        towards = -np.cos(self._frame.yaw)
        self.outline(ellipse(head[0], head[1], 0.047 * h, 0.064 * h), depth, wear.hair)
        if towards > -0.5:
            shift = 0.020 * h * np.sin(self._frame.yaw) * (1.0 if towards < 0.6 else 0.5)
            face = ellipse(head[0] + shift, head[1] - 0.012 * h, 0.038 * h, 0.050 * h)
            self.outline(face, depth, wear.skin)

    def bag(self, wear: Outfit, on_back: bool) -> None:
        """Add a rucksack or a handbag."""
        h = self._height
        if on_back:
            middle = self._frame.world(np.array([-0.12 * h, 0.0, 0.69 * h]))
            round_shape = ellipse(0.0, 0.0, 1.0, 1.0, 16)
            # Between an ellipse and a rectangle, like a stuffed rucksack.
            squared = np.sign(round_shape) * np.abs(round_shape) ** 0.55
            shape = middle[:2] + squared * np.array([0.078, 0.115]) * h
        else:
            middle = self.joint("hand_r") - (0.0, 0.10 * h, 0.0)
            shape = middle[:2] + np.array([[-0.07, -0.08], [0.07, -0.08], [0.06, 0.07], [-0.06, 0.07]]) * h
        self.outline(shape, float(middle[2]), wear.bag)


def add_body(
    mesh: Mesh, frame: Frame, pose: Joints, height: float, wear: Outfit, extras: tuple[float, bool | None]
) -> None:
    """Add a posed and dressed body to a mesh, far limbs first.

    Args:
        mesh: Mesh to add it to.
        frame: Position and heading.
        pose: Joints in metres.
        height: Body height in metres.
        wear: Clothes.
        extras: Length of the coat below the hips in metres, and the bag: True on the back, False in the hand,
            None for no bag.
    """
    hem, carries_on_back = extras
    body = _Body(mesh, frame, pose, height)
    far, near = ("l", "r") if body.joint("hip_l")[2] >= body.joint("hip_r")[2] else ("r", "l")
    seen_from_behind = np.cos(frame.yaw) > 0
    if carries_on_back is True and not seen_from_behind:
        body.bag(wear, True)
    body.arm(far, wear)
    body.leg(far, wear)
    body.leg(near, wear)
    body.torso(wear, hem)
    body.head(wear)
    body.arm(near, wear)
    if carries_on_back is False or (carries_on_back is True and seen_from_behind):
        body.bag(wear, carries_on_back)


def person(rng: np.random.Generator, palette: Palette, frame: Frame, night: bool) -> Thing:
    """Build a walking or standing person.

    Args:
        rng: Random generator.
        palette: Materials of the scene.
        frame: Position and heading.
        night: Whether it is night.

    Returns:
        The person.
    """
    height = rng.uniform(1.52, 1.86)
    hem = float(rng.choice([0.0, 0.0, 0.10, 0.32])) * height / 1.7
    carried = [None, None, True, False][rng.integers(4)]
    mesh = Mesh()
    add_body(mesh, frame, walking(rng, height), height, dress(rng, palette, night), (hem, carried))
    contact = frame.footprint(0.22, 0.2)
    return Thing(mesh, frame.z, shadow=mesh, foot=(frame.x, frame.z), contact=contact)
