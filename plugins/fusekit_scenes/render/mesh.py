"""Polygons in space, and the basic shapes of all objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np


class Layer(IntEnum):
    """Coarse drawing order; within a layer the farthest object is drawn first."""

    GROUND = 0
    PAINT = 1
    BACKDROP = 2
    BUILDING = 3
    THING = 4


class Mesh:
    """Planar polygons, each with a material, in drawing order."""

    def __init__(self) -> None:
        self.batches: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, points: np.ndarray, material: int | np.ndarray) -> None:
        """Append polygons.

        Args:
            points: World points in metres, ``(k, 3)`` for one polygon or ``(n, k, 3)`` for n polygons.
            material: Index of the material, or an ``(n,)`` array of indices.
        """
        points = np.asarray(points, np.float64)
        if points.ndim == 2:
            points = points[None]
        if len(points):
            self.batches.append((points, np.broadcast_to(np.asarray(material, np.intp), (len(points),))))


@dataclass
class Thing:
    """One object of the street.

    Attributes:
        mesh: Visible polygons.
        depth: Distance in metres by which it is sorted within its layer.
        layer: Coarse drawing order.
        shadow: Polygons that cast a shadow of the sun on the ground.
        foot: Ground point ``(x, z)`` that determines whether the object is in the sun; None for objects that are
            always sunlit.
        contact: Ground polygon ``(k, 3)`` under the object that receives little light.
    """

    mesh: Mesh
    depth: float
    layer: Layer = Layer.THING
    shadow: Mesh = field(default_factory=Mesh)
    foot: tuple[float, float] | None = None
    contact: np.ndarray | None = None


def quads(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Combine coordinates to quadrilaterals.

    Args:
        x: Array ``(n, 4)`` or broadcastable.
        y: The same for Y.
        z: The same for Z.

    Returns:
        Array ``(n, 4, 3)``.
    """
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1).reshape(-1, 4, 3)


def upright(x: float, z: float, outline: np.ndarray) -> np.ndarray:
    """Place a flat outline upright, facing the camera.

    Args:
        x: Ground position.
        z: Distance.
        outline: Array ``(..., 2)`` of (right, height) in metres.

    Returns:
        Array ``(..., 3)``.
    """
    outline = np.asarray(outline, np.float64)
    depth = np.full(outline.shape[:-1], z)
    return np.stack([x + outline[..., 0], outline[..., 1], depth], axis=-1)


def ellipse(cx: float, cy: float, rx: float, ry: float, corners: int = 14) -> np.ndarray:
    """Outline of an ellipse.

    Args:
        cx: Horizontal position of the centre.
        cy: Height of the centre.
        rx: Half width.
        ry: Half height.
        corners: Number of corners.

    Returns:
        Array ``(corners, 2)``.
    """
    angle = np.arange(corners) * (2 * np.pi / corners)
    return np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], axis=-1)


_CAP = np.linspace(-np.pi / 2, np.pi / 2, 6)


def capsule(start: np.ndarray, end: np.ndarray, r_start: float, r_end: float) -> np.ndarray:
    """Outline of a limb: two circles and the area between them.

    Args:
        start: First centre ``(2,)``.
        end: Second centre ``(2,)``.
        r_start: Radius at the first centre.
        r_end: Radius at the second centre.

    Returns:
        Array ``(12, 2)``.
    """
    heading = float(np.arctan2(end[1] - start[1], end[0] - start[0]))
    front, back = heading + _CAP, heading + np.pi + _CAP
    return np.concatenate(
        [
            np.stack([end[0] + r_end * np.cos(front), end[1] + r_end * np.sin(front)], axis=-1),
            np.stack([start[0] + r_start * np.cos(back), start[1] + r_start * np.sin(back)], axis=-1),
        ]
    )


@dataclass(frozen=True)
class Frame:
    """Position and heading of an object.

    Attributes:
        x: Ground position, right.
        z: Ground position, forward.
        yaw: Heading in radians; 0 points away from the camera, pi towards it, pi/2 to the right.
    """

    x: float
    z: float
    yaw: float

    def world(self, local: np.ndarray) -> np.ndarray:
        """Transform points from object coordinates to world coordinates.

        Args:
            local: Array ``(..., 3)`` of (forward, right, height) in metres.

        Returns:
            Array ``(..., 3)`` of world (X, Y, Z).
        """
        local = np.asarray(local, np.float64)
        sine, cosine = np.sin(self.yaw), np.cos(self.yaw)
        x = self.x + local[..., 0] * sine + local[..., 1] * cosine
        z = self.z + local[..., 0] * cosine - local[..., 1] * sine
        return np.stack([x, local[..., 2], z], axis=-1)

    def footprint(self, half_length: float, half_width: float) -> np.ndarray:
        """Rectangle on the ground under the object.

        Args:
            half_length: Half extent along the heading.
            half_width: Half extent across it.

        Returns:
            Array ``(4, 3)`` of world points.
        """
        corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]], float) * (half_length, half_width)
        return self.world(np.column_stack([corners, np.zeros(4)]))


def box(frame: Frame, size: tuple[float, float, float], base: float = 0.0) -> np.ndarray:
    """The five faces of a box that are visible from above.

    Args:
        frame: Position of its centre on the ground and heading.
        size: Extents (length, width, height) in metres.
        base: Height of the underside.

    Returns:
        Array ``(5, 4, 3)``: back, left, right, front, top. Faces are not culled.
    """
    length, width, height = size[0] / 2, size[1] / 2, size[2]
    low, high = base, base + height
    local = np.array(
        [
            [[-length, -width, low], [-length, width, low], [-length, width, high], [-length, -width, high]],
            [[-length, -width, low], [length, -width, low], [length, -width, high], [-length, -width, high]],
            [[-length, width, low], [length, width, low], [length, width, high], [-length, width, high]],
            [[length, -width, low], [length, width, low], [length, width, high], [length, -width, high]],
            [[-length, -width, high], [length, -width, high], [length, width, high], [-length, width, high]],
        ]
    )
    return frame.world(local)


def facing(faces: np.ndarray, centre: np.ndarray, eye: float) -> np.ndarray:
    """Faces of a convex body that face the camera.

    Args:
        faces: Array ``(n, k, 3)``; k at least 3.
        centre: A point inside the body, ``(3,)``.
        eye: Height of the camera.

    Returns:
        Boolean array ``(n,)``.
    """
    middle = faces.mean(axis=1)
    normal = np.cross(faces[:, 1] - faces[:, 0], faces[:, 2] - faces[:, 1])
    outward = np.einsum("ij,ij->i", normal, middle - centre)
    seen = np.einsum("ij,ij->i", normal, np.array([0.0, eye, 0.0]) - middle)
    return outward * seen > 0
