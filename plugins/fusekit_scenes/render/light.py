"""Visible light: sun and sky by day, lamps and headlights by night, glare, and the camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusekit_scenes.render.buffers import Resolver, Surface
from fusekit_scenes.render.camera import Camera
from fusekit_scenes.render.grain import blur, enlarge, shrink, soft_noise
from fusekit_scenes.render.layout import Lamp
from fusekit_scenes.render.materials import Palette
from fusekit_scenes.render.raster import Faces

_GLARE_SHRINK = 4


@dataclass(frozen=True)
class Weather:
    """Light of the day or night.

    Attributes:
        sun: Unit vector to the sun.
        sunlight: Irradiance of the sun per channel; zero at night or if overcast.
        skylight: Irradiance of the whole sky per channel.
        zenith: Radiance of the sky overhead.
        horizon: Radiance of the sky at the horizon.
        clouds: Strength of clouds, 0..1.
    """

    sun: np.ndarray
    sunlight: np.ndarray
    skylight: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    clouds: float


def sample_weather(rng: np.random.Generator, night: bool) -> Weather:
    """Sample the weather.

    Args:
        rng: Random generator.
        night: Whether it is night.

    Returns:
        The weather.
    """
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(22, 58))
    sun = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    if night:
        level = 10 ** rng.uniform(-3.6, -2.3)
        tint = np.array([0.80, 1.0, 0.80])
        return Weather(sun, np.zeros(3), level * tint, 0.10 * level * tint, 0.35 * level * tint, 0.0)
    exposure = float(np.clip(rng.lognormal(-0.08, 0.28), 0.5, 1.6))
    overcast = rng.random() < 0.35
    if overcast:
        sky = exposure * np.array([0.98, 1.0, 1.03])
        return Weather(sun, np.zeros(3), 0.95 * sky, 0.78 * sky, 1.05 * sky, 0.10)
    low = np.cos(elevation) ** 2
    warm = np.array([1.0, 0.97 - 0.10 * low, 0.90 - 0.25 * low])
    return Weather(
        sun,
        1.45 * exposure * warm,
        exposure * np.array([0.26, 0.31, 0.38]),
        exposure * np.array([0.34, 0.52, 0.90]),
        exposure * np.array([0.95, 1.02, 1.12]),
        float(rng.uniform(0.0, 0.5)),
    )


def sky(rng: np.random.Generator, camera: Camera, weather: Weather) -> np.ndarray:
    """Radiance of the sky in every pixel.

    Args:
        rng: Random generator for clouds.
        camera: The camera.
        weather: Light of the scene.

    Returns:
        Float32 array ``(height, width, 3)``.
    """
    _, up = camera.slopes()
    share = np.clip(up / 0.6, 0, 1)[..., None] ** 0.7
    radiance = weather.horizon * (1 - share) + weather.zenith * share
    radiance = np.broadcast_to(radiance, (camera.height, camera.width, 3)).astype(np.float32)
    if weather.clouds > 0:
        cover = sum(soft_noise(rng, camera.height, camera.width, n) / n**0.5 for n in (4, 9, 20))
        cover = weather.clouds * np.clip(cover, 0, 1.2)[..., None]
        radiance = radiance * (1 - cover) + cover * weather.horizon.astype(np.float32) * 1.1
    return radiance


def _lamp_light(lamp: Lamp, surface: Surface) -> np.ndarray:
    """Irradiance from one lamp per unit of its power, ``(height, width)``."""
    dx, dy, dz = (
        np.float32(place) - part for place, part in zip(lamp.place, (surface.x, surface.y, surface.z), strict=True)
    )
    squared = dx * dx + dy * dy + dz * dz + np.float32(0.15)
    inverse = 1.0 / np.sqrt(squared)
    nx, ny, nz = surface.normal
    facing = np.maximum((dx * nx + dy * ny + dz * nz) * inverse, 0)
    beam = np.maximum(-(dx * lamp.aim[0] + dy * lamp.aim[1] + dz * lamp.aim[2]) * inverse, 0) ** lamp.narrow
    # Rough surfaces also reflect light at grazing angles.
    return beam * (0.75 * facing + 0.25) / squared


def irradiance(
    surface: Surface,
    faces: Faces,
    weather: Weather,
    lamps: Sequence[Lamp],
    sunlit: np.ndarray,
    contact: np.ndarray,
) -> np.ndarray:
    """Irradiance of the surface in every pixel.

    Args:
        surface: Geometry of the pixels.
        faces: Tables of the faces.
        weather: Light of the sky.
        lamps: Lights that are on.
        sunlit: Share of sunlight that reaches the pixel, ``(height, width)``, 0..1.
        contact: Share of skylight that is occluded, ``(height, width)``, 0..1.

    Returns:
        Float32 array ``(height, width, 3)``; 1 saturates a white surface.
    """
    nx, ny, nz = surface.normal
    dome = (0.62 + 0.38 * ny) * (1 - 0.75 * contact)
    light = dome[..., None] * weather.skylight.astype(np.float32)
    if weather.sunlight.any():
        sx, sy, sz = (np.float32(part) for part in weather.sun)
        facing = np.maximum(nx * sx + ny * sy + nz * sz, 0) * sunlit
        light += facing[..., None] * weather.sunlight.astype(np.float32)
    for lamp in lamps:
        fall = _lamp_light(lamp, surface) * (1 - 0.8 * contact)
        light += fall[..., None] * np.array(lamp.power, np.float32) * 3.0
    return light


def _sheen(faces: Faces, palette: Palette, weather: Weather, eye: float) -> np.ndarray:
    """Reflected sky per face, ``(n, 3)`` float32."""
    view = faces.centre - np.array([0.0, eye, 0.0], np.float32)
    view /= np.maximum(np.linalg.norm(view, axis=1, keepdims=True), 1e-6)
    along = np.einsum("ij,ij->i", view, faces.normal)
    mirrored = view[:, 1] - 2 * along * faces.normal[:, 1]
    share = np.clip(0.35 + 1.1 * mirrored, 0.05, 1.0)
    fresnel = palette.scalars("gloss")[faces.material] * (1 + 1.2 * (1 - np.abs(along)) ** 3)
    return (share * fresnel)[:, None] * (0.7 * weather.horizon + 0.3 * weather.zenith).astype(np.float32)


def _glare(radiance: np.ndarray) -> np.ndarray:
    """Light scattered in the lens around over-exposed spots, same shape as the input."""
    height, width, _ = radiance.shape
    # The extent of scattered light is a property of the lens, so it scales with the image.
    unit = np.sqrt(height * width) / 554.0 / _GLARE_SHRINK
    halo = np.empty_like(radiance)
    for channel in range(3):
        source = shrink(np.maximum(radiance[..., channel] - 1.0, 0.0), _GLARE_SHRINK)
        h, w = source.shape
        down, across = np.fft.fftfreq(2 * h) * 2 * h, np.fft.fftfreq(2 * w) * 2 * w
        squared = (down[:, None] ** 2 + across[None, :] ** 2) / max(unit, 0.05) ** 2
        spread = 0.055 * np.exp(-squared / (2 * 4.5**2)) / 4.5**2 + 0.13 / (squared + 12.0**2) ** 1.35
        # Two weak streaks, as caused by a dirty windscreen.
        streak = np.exp(-np.abs(across[None, :]) / (22 * unit + 1e-3)) * np.exp(
            -(down[:, None] ** 2) / (2 * (1.1 * unit + 0.3) ** 2)
        )
        spread = spread + 0.00022 * streak
        spread = spread / max(unit, 0.05) ** 2
        spectrum = np.fft.rfft2(source, s=(2 * h, 2 * w)) * np.fft.rfft2(spread)
        spread_out = np.fft.irfft2(spectrum, s=(2 * h, 2 * w))[:h, :w]
        halo[..., channel] = enlarge(np.maximum(spread_out, 0).astype(np.float32), height, width)
    return halo


def visible_radiance(
    resolve: Resolver,
    faces: Faces,
    palette: Palette,
    light: np.ndarray,
    texture: np.ndarray,
    weather: Weather,
    eye: float,
    sky_radiance: np.ndarray,
) -> np.ndarray:
    """Sum of diffusely reflected, mirrored, emitted and scattered light.

    Args:
        resolve: Antialiased lookup.
        faces: Tables of the faces.
        palette: Materials of the scene.
        light: Irradiance ``(height, width, 3)``.
        texture: Factor on the reflectance ``(height, width)``.
        weather: Light of the sky.
        eye: Height of the camera.
        sky_radiance: Radiance of the sky ``(height, width, 3)``.

    Returns:
        Float32 radiance ``(height, width, 3)``; 1 saturates the sensor.
    """
    albedo, glow = palette.albedo()[faces.material], palette.glow()[faces.material]
    own = glow + _sheen(faces, palette, weather, eye)
    albedo[0], own[0] = 0.0, 0.0
    is_sky = np.zeros(len(own), np.float32)
    is_sky[0] = 1.0
    sky_share = resolve(is_sky)
    radiance = np.empty_like(light)
    for channel in range(3):
        reflected = resolve(albedo[:, channel]) * texture * light[..., channel]
        radiance[..., channel] = reflected + resolve(own[:, channel]) + sky_share * sky_radiance[..., channel]
    if float(radiance.max()) > 1.0:
        radiance += _glare(radiance) * (1.0 if weather.sunlight.any() or weather.skylight[1] < 0.1 else 0.5)
    return radiance


def develop(rng: np.random.Generator, radiance: np.ndarray, night: bool) -> np.ndarray:
    """Simulate the visible camera: lens, sensor noise, white balance and tone curve.

    Args:
        rng: Random generator for the noise.
        radiance: Scene radiance ``(height, width, 3)``.
        night: Whether it is night, which increases gain and noise.

    Returns:
        uint8 image ``(height, width, 3)``.
    """
    balance = np.array([0.80, 1.0, 0.70] if night else rng.uniform(0.96, 1.04, 3), np.float32)
    # Electrons at saturation: few at night because of the high gain.
    full_well, read = (3500.0, 1.6) if night else (6000.0, 4.0)
    out = np.empty(radiance.shape, np.uint8)
    for channel in range(3):
        signal = np.minimum(radiance[..., channel] * balance[channel], 1.3)
        noise = rng.standard_normal(signal.shape, np.float32)
        signal = signal + noise * np.sqrt(np.maximum(signal, 0) / full_well + (read / full_well) ** 2)
        # The camera smooths noise before it stores the image.
        signal = blur(signal, 0.65 if night else 0.50)
        shadow_lift = 0.0002 if night else 0.0005
        signal = np.clip(signal + shadow_lift, 0.0, 1.0)
        out[..., channel] = (255.0 * signal ** (1 / 2.2) + 0.5).astype(np.uint8)
    return out
