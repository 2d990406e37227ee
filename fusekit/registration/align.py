"""Registration of one image of a pair to the other: a shift or a homography, estimated by ECC on edges, coarse to fine.

The initial estimate comes from phase correlation (`fusekit.registration.shift`); OpenCV's enhanced correlation
coefficient (ECC) refines it to subpixel accuracy. Both use the local contrast of edges instead of brightness, so that
thermal and visible images can be compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fusekit.data.colour import luminance
from fusekit.errors import DataError, UsageError
from fusekit.registration.shift import (
    LARGEST_SIDE,
    Shift,
    displacement_text,
    looks_shifted,
    oriented_edges,
    strongest_shift,
)

__all__ = ["Alignment", "Kind", "Shift", "covered", "estimate", "looks_shifted", "warp"]

Kind = Literal["shift", "homography"]
Matrix = npt.NDArray[np.float64]
GreyImage = npt.NDArray[np.float32]

ALIGN_EXTRA = "pip install 'image-fusekit[align]'"
LARGEST_MOVE = 0.25
"""Largest displacement of a corner, as a share of a side; an estimate beyond it is rejected."""

LEAST_CORRELATION = 0.1
"""Smallest accepted correlation of edges, to which the displacement of a corner as a share of a side is added: the
larger the search range, the higher the correlation that occurs by chance."""

LEAST_PEAK, LARGEST_REST = 8.0, 6.0
"""Limits for the phase correlation of the registered pair: the smallest peak in standard deviations, and the largest
remaining displacement in pixels (of 512). None of the tested pairs of different scenes passes both."""

_LEVELS = (128, 256, 512, 1024)
_HINT = (
    "They may show different scenes or be displaced too far; register them with another tool, or try the other kind of "
    "registration (shift or homography)."
)


@dataclass(frozen=True)
class Alignment:
    """Result of registering a moving image to a reference.

    Attributes:
        kind: ``shift`` or ``homography``.
        matrix: (3, 3) float64; maps a pixel (x, y, 1) of the reference to the corresponding point of the moving image.
        start: The part of `matrix` that only compensates for different sizes; the identity for equal ones.
        size: (height, width) of the reference.
        moving_size: (height, width) of the moving image.
        before: Correlation of the edges before registration (but after scaling), -1 to 1.
        after: Correlation of the edges after registration.
    """

    kind: Kind
    matrix: Matrix
    start: Matrix
    size: tuple[int, int]
    moving_size: tuple[int, int]
    before: float
    after: float

    @property
    def motion(self) -> Matrix:
        """The estimated motion on the reference's grid: (3, 3), without the scaling for different sizes."""
        return np.linalg.inv(self.start) @ self.matrix

    @property
    def corner_moves(self) -> Matrix:
        """Displacement of each corner in pixels of the reference, (4, 2)."""
        corners = _corners(self.size)
        return _apply(self.motion, corners) - corners

    @property
    def text(self) -> str:
        """Description: ``shift 3.2 px right, 1.0 px down``, or ``homography, corners move by up to 5.1 px``."""
        moves = self.corner_moves
        if self.kind == "shift":
            motion = f"shift {displacement_text(float(moves[0, 0]), float(moves[0, 1]))}"
        else:
            motion = f"homography, corners move by up to {float(np.linalg.norm(moves, axis=1).max()):.1f} px"
        if self.size == self.moving_size:
            return motion
        scale = 1 / float(self.start[0, 0])
        sizes = f"{self.moving_size[1]}x{self.moving_size[0]} to {self.size[1]}x{self.size[0]}"
        return f"scaled by {scale:.3f} ({sizes}), then {motion}"


def estimate(reference: Tensor, moving: Tensor, kind: Kind = "shift") -> Alignment:
    """Estimate the registration of `moving` to `reference`.

    Args:
        reference: (1 or 3, H, W) in [0, 1].
        moving: (1 or 3, H', W'), of any size.
        kind: ``shift`` for cameras side by side and a distant scene; ``homography`` also for a rotation, a tilt, or
            another focal length.

    Raises:
        DataError: An image is flat; no estimate makes the edges agree; or the estimate moves a corner by more than a
            quarter of the side.
        UsageError: OpenCV is not installed.
    """
    cv2 = load_cv2()
    fixed, free = _luma(reference), _luma(moving)
    size, moving_size = (fixed.shape[0], fixed.shape[1]), (free.shape[0], free.shape[1])
    start = _covering(size, moving_size)
    placed, valid = _warped(free, start, size), _covered(start, size, moving_size)
    motion = _initial_motion(fixed, placed)
    sides = [side for side in _LEVELS if side < max(size)] + [min(max(size), _LEVELS[-1])]
    converged = False
    for number, side in enumerate(sides):
        coarsest = number == 0 and len(sides) > 1
        model = "shift" if kind == "shift" or coarsest else "affine" if number == 1 and len(sides) > 2 else kind
        finer = _refined(cv2, fixed, placed, valid, motion, min(1.0, side / max(size)), model)
        if finer is not None:
            motion, converged = finer, True
    if not converged:
        raise DataError("the images could not be registered: the estimation does not converge", hint=_HINT)
    matrix = start @ motion
    matrix = matrix / matrix[2, 2]
    aligned = _warped(free, matrix, size)
    before = _agreement(fixed, placed, valid)
    after = _agreement(fixed, aligned, _covered(matrix, size, moving_size))
    alignment = Alignment(kind, matrix, start, size, moving_size, before, after)
    _check(alignment, fixed, aligned)
    return alignment


def warp(pixels: npt.NDArray[Any], alignment: Alignment, size: tuple[int, int] | None = None) -> npt.NDArray[Any]:
    """Resample an image on the reference's grid, by linear interpolation.

    Args:
        pixels: (H', W') or (H', W', C) uint8, uint16 or float32, of the moving image's size.
        alignment: Registration from `estimate`.
        size: (height, width) of the result; None is the reference's.

    Returns:
        (H, W) or (H, W, C) of the same type. Pixels that the moving image does not cover (`covered`) replicate its
        border, so that no false edge is fused.

    Raises:
        UsageError: The size is not the moving image's, the type is not supported, or OpenCV is not installed.
    """
    if pixels.dtype not in (np.uint8, np.uint16, np.float32) or pixels.ndim not in (2, 3):
        raise UsageError(f"only (H, W[, C]) uint8, uint16 or float32 can be warped, not {pixels.dtype} {pixels.shape}")
    if pixels.shape[:2] != alignment.moving_size:
        raise UsageError(
            f"the registration is for images of {alignment.moving_size} (height, width), this one is {pixels.shape[:2]}"
        )
    return _warped(pixels, alignment.matrix, size or alignment.size)


def covered(
    alignment: Alignment, size: tuple[int, int] | None = None
) -> tuple[npt.NDArray[np.bool_], tuple[int, int, int, int]]:
    """The pixels of the reference that the moving image covers.

    Returns:
        (H, W) bool, and a box (top, left, bottom, right; the last two exclusive) in which all pixels are covered, for
        cropping the border. An empty box is (0, 0, 0, 0).
    """
    mask = _covered(alignment.matrix, size or alignment.size, alignment.moving_size)
    return mask, _box(mask)


def load_cv2() -> ModuleType:
    """Import OpenCV.

    Raises:
        UsageError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise UsageError("registering images needs the OpenCV package", hint=f"Install it: {ALIGN_EXTRA}") from error
    return cv2


def _luma(image: Tensor) -> GreyImage:
    return luminance(image.detach().float().cpu())[0].numpy()


def _covering(size: tuple[int, int], moving_size: tuple[int, int]) -> Matrix:
    """Maps the reference to the moving image, scaled to cover the reference and centred on it."""
    (height, width), (moving_height, moving_width) = size, moving_size
    shrink = min(moving_height / height, moving_width / width)
    return np.array(
        [
            [shrink, 0, (moving_width - 1) / 2 - shrink * (width - 1) / 2],
            [0, shrink, (moving_height - 1) / 2 - shrink * (height - 1) / 2],
            [0, 0, 1],
        ]
    )


def _initial_motion(fixed: GreyImage, placed: GreyImage) -> Matrix:
    """The shift from phase correlation if it makes the edges agree better than no shift does."""
    peak = _strongest(fixed, placed)
    if peak is None:
        raise DataError(
            "the images could not be registered: one of them is flat, so it has no edges",
            hint="Check that these are the right files.",
        )
    motion = np.eye(3)
    motion[:2, 2] = np.array([peak[0].dx, peak[0].dy]) / _reduction(fixed)
    size = (fixed.shape[0], fixed.shape[1])
    moved = _agreement(fixed, _warped(placed, motion, size), _covered(motion, size, size))
    return motion if moved > _agreement(fixed, placed, np.ones(size, np.bool_)) else np.eye(3)


def _strongest(fixed: GreyImage, other: GreyImage) -> tuple[Shift, float] | None:
    """`strongest_shift` of two images, in pixels of the reduced images."""
    small = [torch.from_numpy(_resized(image, _reduction(fixed)))[None] for image in (fixed, other)]
    return strongest_shift(small[0], small[1])


def _reduction(image: GreyImage) -> float:
    return min(1.0, LARGEST_SIDE / max(image.shape))


def _refined(
    cv2: ModuleType,
    fixed: GreyImage,
    placed: GreyImage,
    valid: npt.NDArray[np.bool_],
    motion: Matrix,
    factor: float,
    model: str,
) -> Matrix | None:
    """One level of ECC; None if it does not converge."""
    to_level = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1.0]])
    level = to_level @ motion @ np.linalg.inv(to_level)
    edges = [_edges(_resized(image, factor)) for image in (fixed, placed)]
    mask = (_resized(valid.astype(np.float32), factor) > 0.99).astype(np.uint8)
    motions = {"shift": cv2.MOTION_TRANSLATION, "affine": cv2.MOTION_AFFINE, "homography": cv2.MOTION_HOMOGRAPHY}
    begin = (level / level[2, 2]).astype(np.float32)
    begin = np.ascontiguousarray(begin if model == "homography" else begin[:2])
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-6)
    try:
        _, estimated = cv2.findTransformECC(edges[0], edges[1], begin, motions[model], stop, mask, 5)
    except cv2.error:
        return None
    homogeneous = np.eye(3)
    homogeneous[: estimated.shape[0]] = estimated
    return np.asarray(np.linalg.inv(to_level) @ homogeneous @ to_level)


def _check(alignment: Alignment, fixed: GreyImage, aligned: GreyImage) -> None:
    """Reject an implausible estimate."""
    share = float((np.abs(alignment.corner_moves) / np.array(alignment.size[::-1])).max())
    shown = f"{alignment.text}; correlation of the edges {alignment.before:.2f} before, {alignment.after:.2f} after"
    if not share <= LARGEST_MOVE:  # written so that NaN fails too
        raise DataError(f"the images could not be registered: the estimate is implausible ({shown})", hint=_HINT)
    rest = _strongest(fixed, aligned)
    plausible = (
        alignment.after >= LEAST_CORRELATION + share
        and alignment.after >= alignment.before - 0.01
        and rest is not None
        and rest[1] >= LEAST_PEAK
        and math.hypot(rest[0].dx, rest[0].dy) <= LARGEST_REST
    )
    if not plausible:
        raise DataError(
            f"the images could not be registered: their edges agree too little after the estimate ({shown})",
            hint=_HINT,
        )


def _edges(image: GreyImage) -> GreyImage:
    """Local contrast of edges, regardless of their orientation."""
    return oriented_edges(torch.from_numpy(image)[None]).abs().numpy()


def _agreement(fixed: GreyImage, other: GreyImage, mask: npt.NDArray[np.bool_]) -> float:
    """Correlation of the edges of two images inside the eroded mask; 0 if one of them has no edges."""
    factor = min(1.0, _LEVELS[-1] / max(fixed.shape))
    inside = _resized(mask.astype(np.float32), factor) > 0.99
    inside = load_cv2().erode(inside.astype(np.uint8), np.ones((9, 9), np.uint8), borderValue=0) > 0
    if inside.sum() < 64:
        return 0.0
    first, second = (_edges(_resized(image, factor))[inside] for image in (fixed, other))
    if first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _resized(image: GreyImage, factor: float) -> GreyImage:
    if factor >= 1.0:
        return image
    cv2 = load_cv2()
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    resized: GreyImage = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return resized


def _warped(pixels: npt.NDArray[Any], matrix: Matrix, size: tuple[int, int]) -> npt.NDArray[Any]:
    cv2 = load_cv2()
    if np.array_equal(matrix, np.eye(3)) and pixels.shape[:2] == size:
        return pixels.copy()
    shrinks = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if shrinks > 1.5:  # several pixels map to one: without the blur, sampling would skip most of them (aliasing)
        pixels = cv2.GaussianBlur(pixels, (0, 0), 0.5 * shrinks)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped: npt.NDArray[Any] = cv2.warpPerspective(
        pixels, matrix, (size[1], size[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return warped.reshape(*size, *pixels.shape[2:])


def _covered(matrix: Matrix, size: tuple[int, int], moving_size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float64)
    x, y, w = (matrix[k, 0] * columns + matrix[k, 1] * rows + matrix[k, 2] for k in range(3))
    x, y = x / w, y / w
    near = 1e-6  # tolerance, so that the border itself is covered in spite of rounding
    inside = (x >= -near) & (y >= -near) & (x <= moving_size[1] - 1 + near) & (y <= moving_size[0] - 1 + near) & (w > 0)
    return np.asarray(inside, np.bool_)


def _box(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """A large box of covered pixels, found by repeatedly shrinking the side with the largest uncovered share."""
    top, left, bottom, right = 0, 0, *mask.shape
    while bottom > top and right > left:
        part = mask[top:bottom, left:right]
        holes = [1 - part[0].mean(), 1 - part[:, 0].mean(), 1 - part[-1].mean(), 1 - part[:, -1].mean()]
        worst = int(np.argmax(holes))
        if holes[worst] == 0:
            return (top, left, bottom, right) if part.all() else (0, 0, 0, 0)
        top, left = top + (worst == 0), left + (worst == 1)
        bottom, right = bottom - (worst == 2), right - (worst == 3)
    return 0, 0, 0, 0


def _corners(size: tuple[int, int]) -> Matrix:
    right, bottom = size[1] - 1.0, size[0] - 1.0
    return np.array([[0, 0], [right, 0], [0, bottom], [right, bottom]])


def _apply(matrix: Matrix, points: Matrix) -> Matrix:
    mapped = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(mapped[:, :2] / mapped[:, 2:])
