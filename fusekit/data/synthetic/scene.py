"""Renders one street scene as a registered pair of images with exact labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusekit.data.synthetic.buffers import Resolver, locate, texture_gains
from fusekit.data.synthetic.camera import Camera, sample_camera
from fusekit.data.synthetic.grain import blur
from fusekit.data.synthetic.heat import thermal_camera, thermal_radiance
from fusekit.data.synthetic.layout import plan_street
from fusekit.data.synthetic.light import Weather, develop, irradiance, sample_weather, sky, visible_radiance
from fusekit.data.synthetic.mesh import Thing
from fusekit.data.synthetic.raster import GroundMask, draw_faces

MIN_SIDE = 32
"""Smallest image side in pixels."""


@dataclass(frozen=True)
class Scene:
    """A registered pair of images.

    Attributes:
        visible: ``(H, W, 3)`` uint8, sRGB-like.
        infrared: ``(H, W)`` uint8, white is hot.
        label: ``(H, W)`` uint8, the class of every pixel, 0..8 (see ``MSRS_CLASSES``).
        night: Whether it is night.
    """

    visible: np.ndarray
    infrared: np.ndarray
    label: np.ndarray
    night: bool


def _ground_masks(
    things: Sequence[Thing], camera: Camera, weather: Weather
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shadows on the ground.

    Returns:
        ``(shadow, contact, in_sun)``: two masks ``(height, width)`` and for every object whether it stands
        in the sun.
    """
    shadow, contact = GroundMask(camera), GroundMask(camera)
    in_sun = np.ones(len(things), np.float32)
    fixed = [i for i, thing in enumerate(things) if thing.foot is None]
    movable = [i for i, thing in enumerate(things) if thing.foot is not None]
    if weather.sunlight.any():
        for i in fixed:
            shadow.cast(things[i].shadow, weather.sun)
        for i in movable:
            foot = things[i].foot
            in_sun[i] = 0.0 if foot is not None and shadow.at(*foot) else 1.0
        for i in movable:
            shadow.cast(things[i].shadow, weather.sun)
    for thing in things:
        if thing.contact is not None:
            contact.polygon(thing.contact[None])
    return shadow.array(), contact.array(), in_sun


def render_scene(seed: int, index: int, *, height: int = 480, width: int = 640, night: bool | None = None) -> Scene:
    """Renders one street scene.

    The content does not depend on the image size, only how finely it is drawn. The same arguments give the
    same bytes in every process; the global random state is neither read nor changed.

    Args:
        seed: Number of the data set, 0 or more.
        index: Number of the scene in it, 0 or more.
        height: Image height in pixels, at least 32.
        width: Image width in pixels, at least 32.
        night: Night or day; None draws it from the seed, about half each.

    Returns:
        The scene.

    Raises:
        ValueError: If the image is too small or a number is negative.
    """
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"A scene needs at least {MIN_SIDE}x{MIN_SIDE} pixels, got {height}x{width}.")
    if seed < 0 or index < 0:
        raise ValueError(f"Seed and index must not be negative, got {seed} and {index}.")
    time_rng, layout_rng, light_rng, sensor_rng = (
        np.random.default_rng(child) for child in np.random.SeedSequence([seed, index]).spawn(4)
    )
    drawn = bool(time_rng.random() < 0.5)
    night = drawn if night is None else bool(night)

    camera = sample_camera(layout_rng, height, width)
    street = plan_street(layout_rng, night, camera.eye)
    weather = sample_weather(light_rng, night)
    numbers, faces = draw_faces(street.things, camera)
    surface = locate(numbers, faces, camera)
    resolve = Resolver(numbers)
    visible_texture, heat_texture = texture_gains(light_rng, surface, faces, street.palette, camera)

    shadow, contact, in_sun = _ground_masks(street.things, camera, weather)
    soft = 0.7 * np.sqrt(height * width) / 554.0
    on_ground = street.palette.scalars("ground")[faces.material].take(surface.face)
    sunlit = np.append(in_sun, np.float32(1))[faces.thing].take(surface.face)
    sunlit = sunlit * (1 - on_ground * blur(shadow, max(soft, 0.3)))
    shade = on_ground * blur(contact, max(3 * soft, 0.3))

    light = irradiance(surface, faces, weather, street.lamps, sunlit, shade)
    radiance = visible_radiance(
        resolve,
        faces,
        street.palette,
        light,
        visible_texture,
        weather,
        camera.eye,
        sky(light_rng, camera, weather),
    )
    heat = thermal_radiance(sensor_rng, resolve, surface, faces, street.palette, heat_texture, sunlit, weather, camera)
    labels = street.palette.scalars("label").astype(np.uint8)[faces.material]
    labels[0] = 0
    return Scene(
        visible=develop(sensor_rng, radiance, night),
        infrared=thermal_camera(sensor_rng, heat),
        label=labels.take(surface.face),
        night=night,
    )
