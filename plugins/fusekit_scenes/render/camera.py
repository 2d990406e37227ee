"""Pinhole camera over a flat street.

World axes: X to the right, Y up, Z forward, in metres. The camera is at ``(0, eye, 0)`` and looks along Z; small pan
and tilt are modelled by shifting the principal point, which keeps vertical lines vertical.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR = 0.6
"""Nearest distance in metres that is still drawn."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        width: Image width in pixels.
        height: Image height in pixels.
        focal: Focal length in pixels.
        u0: Column of the vanishing point of the street, in pixels.
        v0: Row of the horizon, in pixels.
        eye: Height of the camera above the ground in metres.
    """

    width: int
    height: int
    focal: float
    u0: float
    v0: float
    eye: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project world points into the image.

        Args:
            points: Array ``(..., 3)`` in metres; Z must be positive.

        Returns:
            Array ``(..., 2)`` of (column, row) in pixels.
        """
        scale = self.focal / points[..., 2]
        u = self.u0 + points[..., 0] * scale
        v = self.v0 + (self.eye - points[..., 1]) * scale
        return np.stack([u, v], axis=-1)

    def slopes(self) -> tuple[np.ndarray, np.ndarray]:
        """Slopes of the ray through every pixel centre.

        Returns:
            ``(right, up)``: float32 arrays of shape ``(1, width)`` and ``(height, 1)``; the ray of a pixel
            is ``(right, up, 1)``.
        """
        right = (np.arange(self.width, dtype=np.float32) + 0.5 - self.u0) / self.focal
        up = (self.v0 - np.arange(self.height, dtype=np.float32) - 0.5) / self.focal
        return right[None, :].astype(np.float32), up[:, None].astype(np.float32)


def sample_camera(rng: np.random.Generator, height: int, width: int) -> Camera:
    """Sample a camera as mounted on a car or carried by a pedestrian.

    Args:
        rng: Random generator.
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        The camera; its pixel measures scale with the image, so that the view does not depend on the resolution.
    """
    size = float(np.sqrt(height * width))
    return Camera(
        width=width,
        height=height,
        focal=size * rng.uniform(1.0, 1.2),
        u0=width * rng.uniform(0.36, 0.64),
        v0=height * rng.uniform(0.40, 0.50),
        eye=rng.uniform(1.35, 1.75),
    )


def clip_near(polygon: np.ndarray, near: float = NEAR) -> np.ndarray:
    """Clip the part of a polygon behind the near plane.

    Args:
        polygon: Array ``(k, 3)`` of world points.
        near: Distance of the plane in metres.

    Returns:
        Array ``(m, 3)``; ``m`` is 0 if nothing is left.
    """
    kept: list[np.ndarray] = []
    for corner, following in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if corner[2] >= near:
            kept.append(corner)
        if (corner[2] >= near) != (following[2] >= near):
            share = (near - corner[2]) / (following[2] - corner[2])
            kept.append(corner + share * (following - corner))
    return np.array(kept).reshape(-1, 3)
