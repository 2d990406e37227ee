"""Infrared: thermal radiance of surfaces, the cold sky, and the thermal camera."""

from __future__ import annotations

import numpy as np

from fusekit_scenes.render.buffers import Resolver, Surface
from fusekit_scenes.render.camera import Camera
from fusekit_scenes.render.grain import blur, soft_noise
from fusekit_scenes.render.light import Weather
from fusekit_scenes.render.materials import Palette
from fusekit_scenes.render.raster import Faces


def thermal_radiance(
    rng: np.random.Generator,
    resolve: Resolver,
    surface: Surface,
    faces: Faces,
    palette: Palette,
    texture: np.ndarray,
    sunlit: np.ndarray,
    weather: Weather,
    camera: Camera,
) -> np.ndarray:
    """Thermal radiance at the camera.

    Args:
        rng: Random generator for slow variations of temperature.
        resolve: Antialiased lookup.
        surface: Geometry of the pixels.
        faces: Tables of the faces.
        palette: Materials of the scene.
        texture: Factor on the heat ``(height, width)``.
        sunlit: Share of sunlight that reaches the pixel, 0..1.
        weather: Light of the sky; sunlight warms surfaces slightly.
        camera: The camera.

    Returns:
        Float32 array ``(height, width)`` in grey values of a typical frame.
    """
    heat = palette.scalars("heat")[faces.material]
    # Horizontal surfaces reflect the cold sky, walls reflect the warm street.
    view = faces.centre - np.array([0.0, camera.eye, 0.0], np.float32)
    steep = np.abs(np.einsum("ij,ij->i", view, faces.normal)) / np.maximum(np.linalg.norm(view, axis=1), 1e-6)
    heat = heat * (1.0 - (0.10 + 0.25 * (1 - steep) ** 4) * np.abs(faces.normal[:, 1]))
    # On some evenings surfaces are still warm from the day, so people have less contrast.
    cold = np.clip(1.0 - heat / 70.0, 0.0, 1.0)
    heat = heat + cold * rng.uniform(-2.0, 9.0)
    heat[0] = 0.0
    is_sky = np.zeros(len(heat), np.float32)
    is_sky[0] = 1.0
    sky_share = resolve(is_sky)
    _, up = camera.slopes()
    overcast = 0.0 if weather.sunlight.any() or weather.skylight[1] < 0.1 else 5.0
    sky = (1.5 + overcast + 10.0 * np.exp(-np.maximum(up, 0) / 0.12)).astype(np.float32)
    ground = resolve(heat.astype(np.float32)) * texture
    drift = 1.0 + 0.14 * soft_noise(rng, camera.height, camera.width, 5)
    scene = ground * drift
    if weather.sunlight.any():
        nx, ny, nz = surface.normal
        facing = np.maximum(nx * weather.sun[0] + ny * weather.sun[1] + nz * weather.sun[2], 0)
        # Temperature lags behind sunlight: thermal shadows are blurred and weak.
        scene += 13.0 * blur((facing * sunlit).astype(np.float32), 1.5) * (1 - sky_share)
    air = 1.0 - np.exp(-surface.z / 150.0)
    scene += (12.0 - scene) * air * (1 - sky_share)
    return scene + sky_share * sky


def thermal_camera(rng: np.random.Generator, radiance: np.ndarray) -> np.ndarray:
    """Simulate the infrared camera: soft lens, vignetting, gain, fixed column pattern and noise.

    Args:
        rng: Random generator.
        radiance: Thermal radiance ``(height, width)`` in grey values of a typical frame.

    Returns:
        uint8 image ``(height, width)``, white is hot.
    """
    height, width = radiance.shape
    scale = np.sqrt(height * width) / 554.0
    image = blur(radiance, max(0.35, 0.8 * scale))
    gain = float(np.clip(rng.lognormal(0.10, 0.33), 0.6, 2.2))
    down, across = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    image = image * (gain * (1.0 - 0.16 * (down**2 + across**2) / 2))
    columns = rng.standard_normal((1, width)) * rng.uniform(0.4, 0.9)
    rows = rng.standard_normal((height, 1)) * 0.15
    noise = rng.standard_normal((height, width), np.float32) * rng.uniform(0.7, 1.7)
    return np.clip(image + columns + rows + noise + 0.5, 0, 255).astype(np.uint8)
