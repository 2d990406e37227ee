"""Small fixed objects of the street: lamps, signs, cones, guardrails, wheel stops."""

from __future__ import annotations

import numpy as np

from fusekit_scenes.render.materials import FIXTURES, Colour, Material, Palette, tint
from fusekit_scenes.render.mesh import Frame, Mesh, Thing, box, ellipse, facing, upright


def _pole(mesh: Mesh, x: float, z: float, height: float, radius: float, palette: Palette, name: str) -> None:
    """Add a round pole with a dark rim and a lighter middle."""
    for share, gain in ((1.0, 0.7), (0.45, 1.4)):
        half = radius * share
        outline = np.array([[-half, 0.0], [half, 0.0], [half, height], [-half, height]])
        mesh.add(upright(x, z, outline), palette.add(tint(FIXTURES[name], gain, 3 * (1 - share))))


def lamp(palette: Palette, x: float, z: float, height: float, arm: float, glow: Colour | None) -> Thing:
    """Build a street lamp.

    Args:
        palette: Materials of the scene.
        x: Ground position.
        z: Distance.
        height: Height of the light in metres.
        arm: Length of the arm towards the road (signed, metres); the head is at its end.
        glow: Light of the lamp; None if it is off.

    Returns:
        The lamp.
    """
    mesh = Mesh()
    _pole(mesh, x, z, height, 0.07, palette, "pole_dark")
    bar = np.array([[0, height - 0.12], [arm, height], [arm, height + 0.08], [0, height + 0.02]])
    mesh.add(upright(x, z, bar), palette.add(FIXTURES["pole_dark"]))
    lens = FIXTURES["lamp_off"] if glow is None else Material((0.5, 0.5, 0.5), 95.0, glow=glow)
    mesh.add(upright(x, z, ellipse(arm, height - 0.04, 0.34, 0.12, 12)), palette.add(lens))
    shadow = Mesh()
    shadow.add(upright(x, z, np.array([[-0.07, 0], [0.07, 0], [0.07, height], [-0.07, height]])), 0)
    shadow.add(upright(x, z, bar), 0)
    return Thing(mesh, z, shadow=shadow)


def sign(rng: np.random.Generator, palette: Palette, x: float, z: float) -> Thing:
    """Build a traffic sign, whose pattern is only visible in visible light.

    Args:
        rng: Random generator.
        palette: Materials of the scene.
        x: Ground position.
        z: Distance.

    Returns:
        The sign.
    """
    mesh = Mesh()
    height = rng.uniform(2.1, 2.7)
    _pole(mesh, x, z, height, 0.035, palette, "pole")
    white, red, blue = (palette.add(FIXTURES[name]) for name in ("sign_white", "sign_red", "sign_blue"))
    kind = rng.integers(3)
    if kind == 0:
        mesh.add(upright(x, z, ellipse(0, height, 0.32, 0.32, 20)), red)
        mesh.add(
            upright(
                x,
                z,
                np.array([[-0.22, -0.06], [0.22, -0.06], [0.22, 0.06], [-0.22, 0.06]]) + np.array([0, height]),
            ),
            white,
        )
    elif kind == 1:
        mesh.add(upright(x, z, ellipse(0, height, 0.32, 0.32, 20)), red)
        mesh.add(upright(x, z, ellipse(0, height, 0.25, 0.25, 20)), blue)
        stroke = np.array([[-0.19, 0.15], [-0.15, 0.19], [0.19, -0.15], [0.15, -0.19]])
        mesh.add(upright(x, z, stroke + np.array([0, height])), red)
    else:
        board = np.array([[-0.45, -0.3], [0.45, -0.3], [0.45, 0.3], [-0.45, 0.3]])
        mesh.add(upright(x, z, board * 1.06 + (0, height)), white)
        mesh.add(upright(x, z, board + np.array([0, height])), blue)
        for row in (-0.14, 0.0, 0.14):
            for start in np.arange(-0.36, 0.3, 0.14):
                size = np.array([[0, 0], [0.1, 0], [0.1, 0.07], [0, 0.07]]) * rng.uniform(0.6, 1.0)
                mesh.add(upright(x, z, size + np.array([start, height + row - 0.03])), white)
    shadow = Mesh()
    shadow.add(upright(x, z, ellipse(0, height, 0.32, 0.32, 12)), 0)
    return Thing(mesh, z, shadow=shadow, foot=(x, z))


def cone(palette: Palette, x: float, z: float, height: float, blue: bool) -> Thing:
    """Build a traffic cone.

    Args:
        palette: Materials of the scene.
        x: Ground position.
        z: Distance.
        height: Height in metres.
        blue: Whether it is blue instead of red.

    Returns:
        The cone.
    """
    name = "cone_blue" if blue else "cone"
    mesh, half = Mesh(), 0.21 * height
    base = box(Frame(x, z, 0.0), (0.52 * height, 0.52 * height, 0.04))
    mesh.add(base[[0, 4]], palette.add(FIXTURES["cone_base"]))

    def ring(low: float, high: float, left: float, right: float) -> np.ndarray:
        wide, narrow = half * (1 - 0.86 * low), half * (1 - 0.86 * high)
        corners = [[left * wide, low], [right * wide, low], [right * narrow, high], [left * narrow, high]]
        return upright(x, z, np.array(corners) * (1.0, height) + (0.0, 0.03))

    for low, high, material in (
        (0, 0.35, name),
        (0.35, 0.52, "cone_band"),
        (0.52, 0.7, name),
        (0.7, 0.82, "cone_band"),
        (0.82, 1.0, name),
    ):
        mesh.add(ring(low, high, -1.0, 1.0), palette.add(FIXTURES[material]))
        if material == name:
            mesh.add(ring(low, high, 0.35, 1.0), palette.add(FIXTURES[name + "_shade"]))
    return Thing(mesh, z, shadow=mesh, foot=(x, z), contact=Frame(x, z, 0.0).footprint(half, half))


def guardrail(palette: Palette, start: tuple[float, float], end: tuple[float, float], pipes: bool) -> Thing:
    """Build one section of a guardrail between two posts.

    Args:
        palette: Materials of the scene.
        start: Ground position (x, z) of the first post.
        end: Ground position of the second post.
        pipes: Railing with three pipes and bars instead of a steel beam.

    Returns:
        The section.
    """
    rail, shade, post = (palette.add(FIXTURES[name]) for name in ("rail", "rail_shade", "rail_post"))
    mesh = Mesh()

    def band(low: float, high: float, material: int, s0: float = 0.0, s1: float = 1.0) -> None:
        x0, x1 = (start[0] + s * (end[0] - start[0]) for s in (s0, s1))
        z0, z1 = (start[1] + s * (end[1] - start[1]) for s in (s0, s1))
        mesh.add(np.array([[x0, low, z0], [x1, low, z1], [x1, high, z1], [x0, high, z0]]), material)

    for x, z in sorted((start, end), key=lambda place: -place[1]):
        mesh.add(upright(x, z, np.array([[-0.04, 0.0], [0.04, 0.0], [0.04, 0.86], [-0.04, 0.86]])), post)
    if pipes:
        for height in (0.22, 0.52, 0.84):
            band(height - 0.03, height + 0.03, rail)
        for share in np.linspace(0.08, 0.92, 7):
            band(0.22, 0.84, post, share - 0.009, share + 0.009)
    else:
        band(0.46, 0.80, rail)
        band(0.46, 0.52, shade)
        band(0.60, 0.66, shade)
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    return Thing(mesh, middle[1], shadow=mesh, foot=middle)


def wheel_stop(palette: Palette, frame: Frame, size: tuple[float, float, float], eye: float) -> Thing:
    """Build a concrete wheel stop or lane block.

    Args:
        palette: Materials of the scene.
        frame: Middle on the ground and heading.
        size: (length, width, height) in metres.
        eye: Height of the camera.

    Returns:
        The block with its reflectors.
    """
    side, top, reflector = (palette.add(FIXTURES[name]) for name in ("concrete", "concrete_top", "reflector"))
    faces = box(frame, size)
    seen = facing(faces, frame.world(np.array([0, 0, size[2] / 2])), eye)
    mesh = Mesh()
    mesh.add(faces[seen], np.array([side, side, side, side, top])[seen])
    for i in np.flatnonzero(seen[:4]).tolist():
        a, b, _, d = faces[i]
        low, high = a + 0.35 * (d - a), a + 0.7 * (d - a)
        for left, right in ((0.08, 0.2), (0.8, 0.92)):
            span = b - a
            mesh.add(
                np.stack([low + left * span, low + right * span, high + right * span, high + left * span]),
                reflector,
            )
    shadow = Mesh()
    shadow.add(faces, 0)
    contact = frame.footprint(size[0] / 2, size[1] / 2)
    return Thing(mesh, frame.z, shadow=shadow, foot=(frame.x, frame.z), contact=contact)
