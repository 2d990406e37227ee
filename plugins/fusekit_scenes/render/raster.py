"""Painter's algorithm into a buffer of face indices.

All other quantities (colour, heat, class, distance, shading) are looked up by face index afterwards, so that the
visible image, the infrared image and the label agree in every pixel by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from fusekit_scenes.render.camera import NEAR, Camera, clip_near
from fusekit_scenes.render.mesh import Mesh, Thing

SUPERSAMPLE = 2
"""Samples per pixel along each axis."""


@dataclass(frozen=True)
class Faces:
    """Tables with one row per face; row 0 is the sky.

    Attributes:
        material: Index of the material, ``(n,)`` integers.
        normal: Unit normals towards the camera, ``(n, 3)`` float32.
        plane: Inverse distance as a linear function of the ray slopes (right, up, 1), ``(n, 3)`` float32.
        near: Largest inverse distance of the face, ``(n,)`` float32.
        far: Smallest inverse distance of the face, ``(n,)`` float32.
        thing: Index of the object in the list of objects, -1 for the sky, ``(n,)`` integers.
        centre: Centre of the face in world coordinates, ``(n, 3)`` float32.
    """

    material: np.ndarray
    normal: np.ndarray
    plane: np.ndarray
    near: np.ndarray
    far: np.ndarray
    thing: np.ndarray
    centre: np.ndarray


@dataclass(frozen=True)
class _Flat:
    """Concatenated polygons with different numbers of corners."""

    points: np.ndarray
    start: np.ndarray
    count: np.ndarray
    material: np.ndarray
    thing: np.ndarray


def _flatten(things: Sequence[Thing]) -> _Flat:
    points, counts, materials, owners = [], [], [], []
    for number, thing in enumerate(things):
        for faces, material in thing.mesh.batches:
            n, k, _ = faces.shape
            points.append(faces.reshape(-1, 3))
            counts.append(np.full(n, k))
            materials.append(material)
            owners.append(np.full(n, number))
    count = np.concatenate(counts)
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    return _Flat(np.concatenate(points), start, count, np.concatenate(materials), np.concatenate(owners))


def _tables(flat: _Flat, eye: float) -> Faces:
    points = flat.points - np.array([0.0, eye, 0.0])
    centre = np.add.reduceat(points, flat.start) / flat.count[:, None]
    following = np.arange(1, len(points) + 1)
    following[flat.start + flat.count - 1] = flat.start
    # Newell's sum of cross products about the centre is robust for any planar polygon.
    local = points - np.repeat(centre, flat.count, axis=0)
    normal = np.add.reduceat(np.cross(local, local[following]), flat.start)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    offset = np.einsum("ij,ij->i", normal, centre)
    normal *= np.where(offset > 0, -1.0, 1.0)[:, None]
    plane = normal / np.minimum(-np.abs(offset), -1e-4)[:, None]
    nearest = np.maximum(np.minimum.reduceat(points[:, 2], flat.start), NEAR)
    farthest = np.maximum(np.maximum.reduceat(points[:, 2], flat.start), NEAR)

    def with_sky(values: np.ndarray, sky: object) -> np.ndarray:
        return np.concatenate([np.asarray(sky, values.dtype)[None], values])

    return Faces(
        material=with_sky(flat.material, 0),
        normal=with_sky(normal.astype(np.float32), (0, 0, -1)),
        plane=with_sky(plane.astype(np.float32), (0, 0, 0.002)),
        near=with_sky((1 / nearest).astype(np.float32), 0.002),
        far=with_sky((1 / farthest).astype(np.float32), 0.002),
        thing=with_sky(flat.thing, -1),
        centre=with_sky((centre + np.array([0.0, eye, 0.0])).astype(np.float32), (0, 0, 500)),
    )


def draw_faces(things: Sequence[Thing], camera: Camera) -> tuple[np.ndarray, Faces]:
    """Draw objects, the nearest last.

    Args:
        things: Objects in any order.
        camera: The camera.

    Returns:
        ``(numbers, faces)``: int32 face indices ``(SUPERSAMPLE * height, SUPERSAMPLE * width)`` and the tables of the
        faces. ``faces.thing`` are indices into the given list.
    """
    order = sorted(range(len(things)), key=lambda i: (things[i].layer, -things[i].depth))
    flat = _flatten([things[i] for i in order])
    faces = _tables(flat, camera.eye)
    height, width = camera.height * SUPERSAMPLE, camera.width * SUPERSAMPLE
    image = Image.new("I", (width, height), 0)
    pen = ImageDraw.Draw(image)

    depth = flat.points[:, 2]
    safe = flat.points.copy()
    safe[:, 2] = np.maximum(depth, NEAR)
    # In Pillow, sample centres are at integer coordinates.
    screen = camera.project(safe) * SUPERSAMPLE - 0.5
    low, high = np.minimum.reduceat(screen, flat.start), np.maximum.reduceat(screen, flat.start)
    behind = np.minimum.reduceat(depth, flat.start) < NEAR
    gone = np.maximum.reduceat(depth, flat.start) < NEAR
    outside = (high[:, 0] < 0) | (high[:, 1] < 0) | (low[:, 0] >= width) | (low[:, 1] >= height)
    # Pillow would draw a polygon much smaller than a sample with the width of one sample.
    too_thin = (high - low).max(axis=1) < 0.35
    visible = np.flatnonzero(~gone & (behind | ~(outside | too_thin)))
    corners = screen.ravel().tolist()
    starts, counts, cut = flat.start.tolist(), flat.count.tolist(), behind.tolist()
    for face in visible.tolist():
        begin, end = starts[face], starts[face] + counts[face]
        if not cut[face]:
            pen.polygon(corners[2 * begin : 2 * end], fill=face + 1)
            continue
        clipped = clip_near(flat.points[begin:end])
        if len(clipped) >= 3:
            outline = camera.project(clipped) * SUPERSAMPLE - 0.5
            pen.polygon(outline.ravel().tolist(), fill=face + 1)
    owner = np.concatenate([[-1], np.array(order)[flat.thing]])
    faces = Faces(faces.material, faces.normal, faces.plane, faces.near, faces.far, owner, faces.centre)
    return np.asarray(image), faces


class GroundMask:
    """A mask of the ground in image coordinates, for cast shadows or dark contact areas."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._image = Image.new("L", (camera.width, camera.height), 0)
        self._pen = ImageDraw.Draw(self._image)

    def polygon(self, points: np.ndarray) -> None:
        """Fill polygons on the ground.

        Args:
            points: World points ``(n, k, 3)``.
        """
        depth = points[..., 2]
        limits = np.stack([depth.min(axis=1), depth.max(axis=1)], axis=1)
        safe = points.copy()
        safe[..., 2] = np.maximum(depth, NEAR)
        screen = self._camera.project(safe) - 0.5
        low, high = screen.min(axis=1), screen.max(axis=1)
        inside = (high > 0).all(axis=1) & (low[:, 0] < self._camera.width) & (low[:, 1] < self._camera.height)
        for face in np.flatnonzero(limits[:, 1] >= NEAR).tolist():
            if limits[face, 0] >= NEAR:
                if inside[face]:
                    self._pen.polygon(screen[face].ravel().tolist(), fill=255)
                continue
            clipped = clip_near(points[face])
            if len(clipped) >= 3:
                self._pen.polygon((self._camera.project(clipped) - 0.5).ravel().tolist(), fill=255)

    def cast(self, mesh: Mesh, sun: np.ndarray) -> None:
        """Add the shadow of polygons.

        Args:
            mesh: Polygons that cast the shadow.
            sun: Unit vector to the sun ``(3,)``; its height must be positive.
        """
        for points, _ in mesh.batches:
            projected = points.copy()
            projected[..., 0] -= points[..., 1] * sun[0] / sun[1]
            projected[..., 2] -= points[..., 1] * sun[2] / sun[1]
            projected[..., 1] = 0.0
            self.polygon(projected)

    def at(self, x: float, z: float) -> bool:
        """Whether a point of the ground is covered by the mask.

        Args:
            x: Position, right.
            z: Position, forward.

        Returns:
            The mask at this point; False outside of the image.
        """
        u, v = self._camera.project(np.array([x, 0.0, max(z, NEAR)]))
        column, row = int(u), int(min(v, self._camera.height - 1))
        if not (0 <= column < self._camera.width and row >= 0):
            return False
        return bool(self._image.getpixel((column, row)))

    def array(self) -> np.ndarray:
        """The mask as float32 ``(height, width)``, 0..1."""
        return np.asarray(self._image, np.float32) / 255.0
