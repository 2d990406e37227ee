"""Rendering of a street scene as a registered image pair with exact labels, or as the light at a camera."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fusekit_scenes.render.buffers import Resolver, Surface, locate, texture_gains
from fusekit_scenes.render.camera import Camera, sample_camera
from fusekit_scenes.render.grain import blur
from fusekit_scenes.render.heat import thermal_camera, thermal_radiance
from fusekit_scenes.render.layout import Street, plan_street
from fusekit_scenes.render.light import Weather, develop, irradiance, sample_weather, sky, visible_radiance
from fusekit_scenes.render.mesh import Thing
from fusekit_scenes.render.pair import check_request
from fusekit_scenes.render.raster import Faces, GroundMask, draw_faces

COUNTABLE = (1, 2, 3)
"""Classes whose objects can be counted: car, person and bike."""


@dataclass(frozen=True)
class Scene:
    """A registered pair of images.

    Attributes:
        visible: ``(H, W, 3)`` uint8, sRGB-like.
        infrared: ``(H, W)`` uint8, white is hot.
        label: Label map ``(H, W)`` uint8 with classes 0..8 (see ``MSRS_CLASSES``).
        night: Whether it is night.
        boxes: The visible parts of cars, persons and bikes, one row each: class, left, top, right, bottom (pixels,
            right and bottom exclusive), number of visible pixels; ``(M, 6)`` int32.
    """

    visible: np.ndarray
    infrared: np.ndarray
    label: np.ndarray
    night: bool
    boxes: np.ndarray


@dataclass(frozen=True)
class View:
    """Light of a street at the camera, before lens and sensor.

    Attributes:
        radiance: ``(H, W, 3)`` float32, linear, 0 and more; 1 saturates the camera of :func:`render_scene`.
        depth: ``(H, W)`` float32, distance along the optical axis in metres; the sky is at 500.
        focal: Focal length in pixels.
        night: Whether it is night.
    """

    radiance: np.ndarray
    depth: np.ndarray
    focal: float
    night: bool


Furnish = Callable[[Street, Camera], None]
"""Adds objects to a generated street."""


@dataclass(frozen=True)
class _Traced:
    """Intermediate results of a scene, used by both modalities."""

    radiance: np.ndarray
    surface: Surface
    resolve: Resolver
    faces: Faces
    street: Street
    weather: Weather
    camera: Camera
    heat_texture: np.ndarray
    sunlit: np.ndarray
    sensor_rng: np.random.Generator


def _ground_masks(
    things: Sequence[Thing], camera: Camera, weather: Weather
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shadows on the ground.

    Returns:
        ``(shadow, contact, in_sun)``: two masks ``(height, width)`` and, for every object, whether it is in the sun.
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


def _trace(seed: int, index: int, height: int, width: int, night: bool | None, furnish: Furnish | None) -> _Traced:
    """Generate a scene, draw its faces and compute their light."""
    check_request(seed, index, height, width)
    time_rng, layout_rng, light_rng, sensor_rng = (
        np.random.default_rng(child) for child in np.random.SeedSequence([seed, index]).spawn(4)
    )
    drawn = bool(time_rng.random() < 0.5)
    night = drawn if night is None else bool(night)

    camera = sample_camera(layout_rng, height, width)
    street = plan_street(layout_rng, night, camera.eye)
    if furnish is not None:
        furnish(street, camera)
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
    return _Traced(radiance, surface, resolve, faces, street, weather, camera, heat_texture, sunlit, sensor_rng)


def view_street(
    seed: int,
    index: int,
    *,
    height: int,
    width: int,
    night: bool | None = None,
    furnish: Furnish | None = None,
) -> View:
    """Light and depth of a street scene, for cameras other than that of :func:`render_scene`.

    Args:
        seed: Number of the data set, 0 or more.
        index: Number of the scene in it, 0 or more; the street is the one of :func:`render_scene`.
        height: Image height in pixels, at least 32.
        width: Image width in pixels, at least 32.
        night: Night or day; None samples it from the seed, about half each.
        furnish: Adds objects to the street before it is drawn.

    Returns:
        The view.

    Raises:
        ValueError: If the image is too small or a number is negative.
    """
    traced = _trace(seed, index, height, width, night, furnish)
    return View(traced.radiance, traced.surface.z, traced.camera.focal, traced.street.night)


def render_scene(seed: int, index: int, *, height: int = 480, width: int = 640, night: bool | None = None) -> Scene:
    """Render one street scene.

    The content does not depend on the image size, which only determines the resolution. The same arguments produce the
    same bytes in every process; the global random state is neither read nor changed.

    Args:
        seed: Number of the data set, 0 or more.
        index: Number of the scene in it, 0 or more.
        height: Image height in pixels, at least 32.
        width: Image width in pixels, at least 32.
        night: Night or day; None samples it from the seed, about half each.

    Returns:
        The scene.

    Raises:
        ValueError: If the image is too small or a number is negative.
    """
    traced = _trace(seed, index, height, width, night, None)
    surface, faces, palette, sensor_rng = traced.surface, traced.faces, traced.street.palette, traced.sensor_rng
    heat = thermal_radiance(
        sensor_rng,
        traced.resolve,
        surface,
        faces,
        palette,
        traced.heat_texture,
        traced.sunlit,
        traced.weather,
        traced.camera,
    )
    labels = palette.scalars("label").astype(np.uint8)[faces.material]
    labels[0] = 0
    label = labels.take(surface.face)
    return Scene(
        visible=develop(sensor_rng, traced.radiance, traced.street.night),
        infrared=thermal_camera(sensor_rng, heat),
        label=label,
        night=traced.street.night,
        boxes=_boxes(faces.thing.take(surface.face), label),
    )


def _boxes(things: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Boxes of the visible pixels of each object whose class can be counted; see `Scene`."""
    rows, columns = np.nonzero(np.isin(label, COUNTABLE))
    keys = things[rows, columns].astype(np.int64) * 256 + label[rows, columns]
    order = np.argsort(keys, kind="stable")
    rows, columns, keys = rows[order], columns[order], keys[order]
    found, start, count = np.unique(keys, return_index=True, return_counts=True)
    if not len(found):
        return np.zeros((0, 6), np.int32)
    sides = [
        np.minimum.reduceat(columns, start),
        np.minimum.reduceat(rows, start),
        np.maximum.reduceat(columns, start) + 1,
        np.maximum.reduceat(rows, start) + 1,
    ]
    return np.stack([found % 256, *sides, count], axis=1).astype(np.int32)
