"""Multi-focus pairs: one street with near focus, with far focus, and all in focus."""

from __future__ import annotations

import numpy as np

from fusekit_scenes.render import furniture
from fusekit_scenes.render.bikes import bike
from fusekit_scenes.render.camera import Camera
from fusekit_scenes.render.layout import Street
from fusekit_scenes.render.lens import defocus
from fusekit_scenes.render.mesh import Frame
from fusekit_scenes.render.pair import Pair, camera_rng
from fusekit_scenes.render.people import person
from fusekit_scenes.render.scene import view_street
from fusekit_scenes.render.sensor import Sensor, encode, log_mean

_SENSOR = Sensor(full_well=15000.0, read=4.0)
_WIDEST = (0.024, 0.034)
"""Blur disc in the near photograph at the distance of the far focus, as a share of the image side."""


def _close_up(rng: np.random.Generator, street: Street, camera: Camera) -> None:
    """Add an object close to the camera, as is common in photographs with shallow depth of field."""
    kind = rng.choice(["person", "person", "bike", "rider", "sign"])
    z = float(rng.uniform(2.4, 3.0) if kind in ("bike", "rider") else rng.uniform(1.9, 2.7))
    # Beside the middle, inside the image.
    x = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.08, 0.26) + 0.5 - camera.u0 / camera.width)
    x *= z * camera.width / camera.focal
    if kind == "sign":
        thing = furniture.sign(rng, street.palette, x, z)
    elif kind == "person":
        thing = person(rng, street.palette, Frame(x, z, float(rng.uniform(0.6, 1.4) * np.pi)), street.night)
    else:
        yaw = float(np.pi / 2 * rng.choice([-1.0, 1.0]) + rng.uniform(-0.5, 0.5))
        thing = bike(rng, street.palette, Frame(x, z, yaw), street.night, ridden=kind == "rider")
    street.things.append(thing)


def focus_distances(dioptres: np.ndarray) -> tuple[float, float]:
    """The two focus distances that minimise the blur of the sharper photograph.

    Of all pairs of 64 inverse distances, the pair with the smallest mean fourth power of the smaller blur disc is
    chosen. The fourth power emphasises the most blurred pixels: least squares would choose both distances for the many
    distant pixels, and near objects such as faces would never be sharp. Only distances at which there are surfaces are
    considered.

    Args:
        dioptres: Inverse distances of all pixels, any shape, 1/m.

    Returns:
        ``(near, far)`` in dioptres; near is the larger number or equal.
    """
    count, edges = np.histogram(dioptres, bins=64)
    places = (edges[:-1] + edges[1:]) / 2
    focuses = places[count >= 0.005 * dioptres.size]
    blur = (focuses[:, None] - places[None, :]) ** 4
    cost = np.minimum(blur[:, None, :], blur[None, :, :]) @ count
    pair = focuses[list(np.unravel_index(int(cost.argmin()), cost.shape))]
    return float(pair.max()), float(pair.min())


def focus_pair(seed: int, index: int, *, height: int = 256, width: int = 256) -> Pair:
    """Render one street twice through a lens with a wide aperture, focused near and far.

    Streets are those of :func:`~fusekit_scenes.render.render_scene`, by day and night, with one more object close to
    the camera. The focus distances are those of :func:`focus_distances`: objects at one of them are sharp in that
    photograph, and blurred in the other by a disc of 2.4 to 3.4 % of the image side (6 to 9 pixels of 256). Objects
    half-way between the two are blurred in both, by half such a disc; a road from the camera to the horizon always
    contains such a place. Objects nearer or farther than both are slightly blurred even in the sharper photograph. Both
    photographs have independent weak noise; the ideal has no noise and is the scene before the blur of the lens, all in
    focus.

    Args:
        seed: Number of the data set, 0 or more.
        index: Number of the pair in it, 0 or more.
        height: Image height in pixels, at least 32.
        width: Image width in pixels, at least 32.

    Returns:
        The pair, near first; images and ideal are ``(H, W, 3)`` uint8.

    Raises:
        ValueError: If the image is too small or a number is negative.
    """
    rng = camera_rng(seed, index, "focus")
    view = view_street(
        seed, index, height=height, width=width, furnish=lambda street, camera: _close_up(rng, street, camera)
    )
    dioptres = 1.0 / view.depth
    near, far = focus_distances(dioptres)
    strength = rng.uniform(*_WIDEST) * np.sqrt(height * width) / max(near - far, 1e-3)
    radiance = _meter(view.radiance) * view.radiance
    images = [_SENSOR.expose(rng, defocus(radiance, dioptres, focus, strength)) for focus in (near, far)]
    return Pair((images[0], images[1]), encode(radiance))


def _meter(radiance: np.ndarray) -> float:
    """Gain that makes night scenes visible and keeps most of the daytime sky below saturation."""
    bright = float(np.percentile(radiance, 90))
    return max(1.0, min(0.08 / log_mean(radiance), 0.9 / max(bright, 1e-6)))
