"""Trees and hedges of many small leaf clumps."""

from __future__ import annotations

import numpy as np

from fusekit_scenes.render.materials import FIXTURES, Colour, Material, Palette, Texture, tint
from fusekit_scenes.render.mesh import Frame, Mesh, Thing, box, ellipse, facing

_LEAVES: tuple[Colour, ...] = (
    (0.035, 0.075, 0.015),
    (0.045, 0.085, 0.025),
    (0.07, 0.11, 0.02),
    (0.22, 0.16, 0.02),
    (0.17, 0.075, 0.02),
)


def _greens(rng: np.random.Generator, palette: Palette, heat: float) -> np.ndarray:
    """Indices of four leaf materials from shaded to sunlit, ``(4,)``."""
    leaf = Material(_LEAVES[rng.choice(5, p=[0.3, 0.3, 0.2, 0.13, 0.07])], heat, texture=Texture.FOLIAGE)
    steps = ((0.28, 2.0), (0.6, 0.0), (1.05, -1.5), (1.7, -3.0))
    return np.array([palette.add(tint(leaf, gain, warmer)) for gain, warmer in steps])


def clumps(rng: np.random.Generator, centres: np.ndarray, size: float) -> np.ndarray:
    """Irregular leaf clumps that face the camera.

    Args:
        rng: Random generator.
        centres: World points ``(n, 3)``.
        size: Mean radius in metres.

    Returns:
        Array ``(n, 8, 3)``.
    """
    n = len(centres)
    angle = np.arange(8) * np.pi / 4 + rng.uniform(0, np.pi / 4, (n, 1))
    radius = size * rng.uniform(0.5, 1.4, (n, 8)) * rng.uniform(0.6, 1.3, (n, 1))
    return np.stack(
        [
            centres[:, :1] + radius * np.cos(angle),
            np.maximum(centres[:, 1:2] + 0.85 * radius * np.sin(angle), 0.0),
            np.broadcast_to(centres[:, 2:], (n, 8)),
        ],
        axis=-1,
    )


def _crown(rng: np.random.Generator, mesh: Mesh, middle: np.ndarray, radii: np.ndarray, greens: np.ndarray) -> None:
    """Fill an ellipsoid with clumps, with dark ones at the bottom and inside."""
    # Distant trees need fewer clumps, because each covers only a few pixels.
    count = int(np.clip(9500 / middle[2], 130, 700))
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    reach = rng.random((count, 1)) ** 0.45
    offset = direction * reach
    order = np.argsort(-offset[:, 2], kind="stable")
    offset = offset[order]
    light = 1.5 + 1.5 * offset[:, 1] - 0.6 * offset[:, 2] + rng.normal(0, 0.75, count)
    tone = np.clip(np.round(light), 0, 3).astype(int)
    centres = middle + offset * radii
    centres[:, 2] = middle[2] + offset[:, 2] * radii[2] * 0.3
    mesh.add(clumps(rng, centres, 0.085 * float(radii[:2].mean()) * (700 / count) ** 0.40), greens[tone])
    # Between separate twigs around the crown the sky is visible.
    count //= 3
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    loose = middle + direction * radii * rng.uniform(0.95, 1.22, (count, 1))
    loose[:, 2] = middle[2]
    mesh.add(clumps(rng, loose, 0.045 * float(radii[:2].mean())), greens[rng.integers(0, 3, count)])


def tree(rng: np.random.Generator, palette: Palette, x: float, z: float, tall: float) -> Thing:
    """Build a tree.

    Args:
        rng: Random generator.
        palette: Materials of the scene.
        x: Ground position.
        z: Distance.
        tall: Height in metres.

    Returns:
        The tree; its shadow is that of trunk and crown.
    """
    heat = rng.uniform(16, 29)
    bark = palette.add(tint(FIXTURES["trunk"], rng.uniform(0.6, 1.3), rng.uniform(-5, 5)))
    bark_light = palette.add(tint(FIXTURES["trunk_light"], rng.uniform(0.6, 1.2), rng.uniform(-4, 6)))
    width = 0.018 * tall + rng.uniform(0.05, 0.16)
    fork = tall * rng.uniform(0.28, 0.42)
    lean = rng.normal(0, 0.03) * tall
    mesh = Mesh()

    def bar(start: tuple[float, float], end: tuple[float, float], w0: float, w1: float, material: int) -> None:
        points = [
            (start[0] - w0, start[1]),
            (start[0] + w0, start[1]),
            (end[0] + w1, end[1]),
            (end[0] - w1, end[1]),
        ]
        mesh.add(np.array([(x + a, b, z) for a, b in points]), material)

    bar((0, 0), (lean, fork), width * 1.25, width * 0.8, bark)
    bar((width * 0.25, 0), (lean + width * 0.15, fork), width * 0.5, width * 0.3, bark_light)
    for _ in range(5):
        tip = (lean + rng.uniform(-0.28, 0.28) * tall, tall * rng.uniform(0.55, 0.85))
        bar((lean, fork * rng.uniform(0.85, 1.0)), tip, width * 0.45, width * 0.12, bark)
    radii = np.array([tall * rng.uniform(0.26, 0.38), tall * rng.uniform(0.28, 0.36), tall * 0.25])
    middle = np.array([x + lean, tall - radii[1], z])
    _crown(rng, mesh, middle, radii, _greens(rng, palette, heat))
    shadow = Mesh()
    shadow.add(
        np.array([(x - width, 0, z), (x + width, 0, z), (x + lean + width, fork, z), (x + lean - width, fork, z)]),
        0,
    )
    spread = rng.uniform(-1, 1, (110, 3)) * radii * (0.8, 0.8, 1.0)
    for radius, share in ((0.16, 1.0), (0.09, 0.5)):
        centres = middle + spread[: int(110 * share)]
        flat = ellipse(0, 0, radius * radii[0], radius * radii[0], 7)
        leaves = np.zeros((len(centres), 7, 3)) + centres[:, None]
        leaves[..., 0] += flat[:, 0]
        leaves[..., 2] += flat[:, 1]
        shadow.add(leaves, 0)
    return Thing(mesh, z, shadow=shadow)


def hedge(
    rng: np.random.Generator, palette: Palette, frame: Frame, size: tuple[float, float, float], eye: float
) -> Thing:
    """Build a section of a hedge.

    Args:
        rng: Random generator.
        palette: Materials of the scene.
        frame: Middle on the ground and heading.
        size: (length, width, height) in metres.
        eye: Height of the camera.

    Returns:
        The hedge.
    """
    greens = _greens(rng, palette, rng.uniform(13, 23))
    faces = box(frame, size)
    seen = facing(faces, frame.world(np.array([0, 0, size[2] / 2])), eye)
    mesh = Mesh()
    mesh.add(faces[seen], greens[np.array([0, 0, 0, 0, 2])[seen]])
    count = int(np.clip(1500 * size[0] / max(frame.z, 3.0) / 4, 20, 260))
    # Clumps on the top, and on the side that faces the street.
    place = rng.uniform(-0.5, 0.5, (count, 3)) * (size[0], size[1], 0.0)
    place[:, 2] = size[2] * rng.uniform(0.15, 1.05, count)
    flank = -np.sign(frame.x) * size[1] / 2 * (1 if np.cos(frame.yaw) >= 0 else -1)
    side = place[:, 2] < 0.9 * size[2]
    place[side, 1] = flank
    centres = frame.world(place)
    centres = centres[np.argsort(-centres[:, 2], kind="stable")]
    tone = np.clip(np.round(3.2 * centres[:, 1] / size[2] - 0.8 + rng.normal(0, 0.7, count)), 0, 3).astype(int)
    mesh.add(clumps(rng, centres, 0.12), greens[tone])
    shadow = Mesh()
    shadow.add(faces, 0)
    return Thing(mesh, frame.z, shadow=shadow)
