"""Aligning one image of a pair to the other: a shift or a homography, estimated by ECC on edges, coarse to fine.

The start is phase correlation (`fusekit.registration.shift`); OpenCV's enhanced correlation coefficient refines it
below a pixel. Both see local contrast of edges rather than brightness, so that heat and light can be compared.
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
Picture = npt.NDArray[np.float32]

ALIGN_EXTRA = "pip install 'image-fusekit[align]'"
LARGEST_MOVE = 0.25
"""Share of a side by which a corner may move; more is taken for a failed estimate."""

LEAST_CORRELATION = 0.1
"""Correlation of edges that an alignment must reach, plus the share of a side by which it moves a corner: the farther a
search goes, the better the agreement that it meets by chance."""

LEAST_PEAK, LARGEST_REST = 8.0, 6.0
"""What phase correlation must say of the aligned pair: a peak of so many standard deviations, at most so many pixels
(of 512) from no displacement. Of pairs of different scenes none that was tried passes both."""

_LEVELS = (128, 256, 512, 1024)
_HINT = "They may show different scenes, or lie too far apart; align them by hand, or try the other kind."


@dataclass(frozen=True)
class Alignment:
    """How one image lies on another.

    Attributes:
        kind: ``shift`` or ``homography``.
        matrix: (3, 3) float64; takes a pixel (x, y, 1) of the reference to where the moving image shows the same.
        start: The part of `matrix` that only makes up for different sizes; the identity for equal ones.
        size: (height, width) of the reference.
        moving_size: (height, width) of the moving image.
        before: Correlation of the edges without alignment (but scaled), -1 to 1.
        after: With it.
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
        """What was estimated, on the reference's grid: (3, 3), without the scaling for different sizes."""
        return np.linalg.inv(self.start) @ self.matrix

    @property
    def corner_moves(self) -> Matrix:
        """(4, 2): by how many pixels of the reference each corner moves."""
        corners = _corners(self.size)
        return _apply(self.motion, corners) - corners

    @property
    def text(self) -> str:
        """For humans: ``shift 3.2 px right, 1.0 px down``, or ``homography, corners move by up to 5.1 px``."""
        moves = self.corner_moves
        if self.kind == "shift":
            found = f"shift {displacement_text(float(moves[0, 0]), float(moves[0, 1]))}"
        else:
            found = f"homography, corners move by up to {float(np.linalg.norm(moves, axis=1).max()):.1f} px"
        if self.size == self.moving_size:
            return found
        scale = 1 / float(self.start[0, 0])
        sizes = f"{self.moving_size[1]}x{self.moving_size[0]} to {self.size[1]}x{self.size[0]}"
        return f"scaled by {scale:.3f} ({sizes}), then {found}"


def estimate(reference: Tensor, moving: Tensor, kind: Kind = "shift") -> Alignment:
    """Estimates how `moving` has to be laid on `reference`.

    Args:
        reference: (1 or 3, H, W) in [0, 1].
        moving: (1 or 3, H', W'), of any size.
        kind: ``shift`` for cameras side by side that look at something far away; ``homography`` also for a turn, a
            tilt, or another focal length.

    Raises:
        DataError: An image is flat; nothing is found that makes their edges agree; or what is found moves a corner by
            more than a quarter of the side.
        UsageError: OpenCV is not installed.
    """
    cv2 = load_cv2()
    fixed, free = _luma(reference), _luma(moving)
    size, moving_size = (fixed.shape[0], fixed.shape[1]), (free.shape[0], free.shape[1])
    start = _covering(size, moving_size)
    placed, valid = _warped(free, start, size), _covered(start, size, moving_size)
    motion = _first_guess(fixed, placed)
    sides = [side for side in _LEVELS if side < max(size)] + [min(max(size), _LEVELS[-1])]
    converged = False
    for number, side in enumerate(sides):
        coarsest = number == 0 and len(sides) > 1
        model = "shift" if kind == "shift" or coarsest else "affine" if number == 1 and len(sides) > 2 else kind
        finer = _refined(cv2, fixed, placed, valid, motion, min(1.0, side / max(size)), model)
        if finer is not None:
            motion, converged = finer, True
    if not converged:
        raise DataError(
            "the images could not be aligned: the search for an agreement of their edges does not converge", hint=_HINT
        )
    matrix = start @ motion
    matrix = matrix / matrix[2, 2]
    aligned = _warped(free, matrix, size)
    before = _agreement(fixed, placed, valid)
    after = _agreement(fixed, aligned, _covered(matrix, size, moving_size))
    found = Alignment(kind, matrix, start, size, moving_size, before, after)
    _check(found, fixed, aligned)
    return found


def warp(pixels: npt.NDArray[Any], alignment: Alignment, size: tuple[int, int] | None = None) -> npt.NDArray[Any]:
    """Lays an image on the reference's grid, by linear interpolation.

    Args:
        pixels: (H', W') or (H', W', C) uint8, uint16 or float32, of the moving image's size.
        alignment: From `estimate`.
        size: (height, width) of the result; None is the reference's.

    Returns:
        (H, W) or (H, W, C) of the same type. Pixels that the moving image does not cover (`covered`) repeat its
        border, so that no false edge is fused.

    Raises:
        UsageError: The size is not the moving image's, the type is another one, or OpenCV is not installed.
    """
    if pixels.dtype not in (np.uint8, np.uint16, np.float32) or pixels.ndim not in (2, 3):
        raise UsageError(f"only (H, W[, C]) uint8, uint16 or float32 is warped, not {pixels.dtype} {pixels.shape}")
    if pixels.shape[:2] != alignment.moving_size:
        raise UsageError(
            f"the alignment is of images of {alignment.moving_size} (height, width), this one is {pixels.shape[:2]}"
        )
    return _warped(pixels, alignment.matrix, size or alignment.size)


def covered(
    alignment: Alignment, size: tuple[int, int] | None = None
) -> tuple[npt.NDArray[np.bool_], tuple[int, int, int, int]]:
    """Which pixels of the reference the moving image covers.

    Returns:
        (H, W) bool, and a box (top, left, bottom, right; the last two exclusive) in which all are covered: what is left
        of the picture when the border is cropped. An empty box is (0, 0, 0, 0).
    """
    mask = _covered(alignment.matrix, size or alignment.size, alignment.moving_size)
    return mask, _box(mask)


def load_cv2() -> ModuleType:
    """OpenCV.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise UsageError("aligning images needs the OpenCV package", hint=f"Install it: {ALIGN_EXTRA}") from error
    return cv2


def _luma(image: Tensor) -> Picture:
    return luminance(image.detach().float().cpu())[0].numpy()


def _covering(size: tuple[int, int], moving_size: tuple[int, int]) -> Matrix:
    """Takes a pixel of the reference to one of the moving image that is scaled until it covers it, middle on middle."""
    (height, width), (moving_height, moving_width) = size, moving_size
    shrink = min(moving_height / height, moving_width / width)
    return np.array(
        [
            [shrink, 0, (moving_width - 1) / 2 - shrink * (width - 1) / 2],
            [0, shrink, (moving_height - 1) / 2 - shrink * (height - 1) / 2],
            [0, 0, 1],
        ]
    )


def _first_guess(fixed: Picture, placed: Picture) -> Matrix:
    """The shift of phase correlation, where it makes the edges agree better than none does."""
    found = _strongest(fixed, placed)
    if found is None:
        raise DataError("nothing to align by: one of the images is flat", hint="Is it the right file?")
    motion = np.eye(3)
    motion[:2, 2] = np.array([found[0].dx, found[0].dy]) / _reduction(fixed)
    size = (fixed.shape[0], fixed.shape[1])
    moved = _agreement(fixed, _warped(placed, motion, size), _covered(motion, size, size))
    return motion if moved > _agreement(fixed, placed, np.ones(size, np.bool_)) else np.eye(3)


def _strongest(fixed: Picture, other: Picture) -> tuple[Shift, float] | None:
    """`strongest_shift` of two pictures, in pixels of the reduced ones."""
    small = [torch.from_numpy(_resized(picture, _reduction(fixed)))[None] for picture in (fixed, other)]
    return strongest_shift(small[0], small[1])


def _reduction(picture: Picture) -> float:
    return min(1.0, LARGEST_SIDE / max(picture.shape))


def _refined(
    cv2: ModuleType,
    fixed: Picture,
    placed: Picture,
    valid: npt.NDArray[np.bool_],
    motion: Matrix,
    factor: float,
    model: str,
) -> Matrix | None:
    """One level of ECC; None where it does not converge."""
    to_level = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1.0]])
    level = to_level @ motion @ np.linalg.inv(to_level)
    edges = [_edges(_resized(picture, factor)) for picture in (fixed, placed)]
    mask = (_resized(valid.astype(np.float32), factor) > 0.99).astype(np.uint8)
    motions = {"shift": cv2.MOTION_TRANSLATION, "affine": cv2.MOTION_AFFINE, "homography": cv2.MOTION_HOMOGRAPHY}
    begin = (level / level[2, 2]).astype(np.float32)
    begin = np.ascontiguousarray(begin if model == "homography" else begin[:2])
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 1e-6)
    try:
        _, found = cv2.findTransformECC(edges[0], edges[1], begin, motions[model], stop, mask, 5)
    except cv2.error:
        return None
    whole = np.eye(3)
    whole[: found.shape[0]] = found
    return np.asarray(np.linalg.inv(to_level) @ whole @ to_level)


def _check(found: Alignment, fixed: Picture, aligned: Picture) -> None:
    """Refuses an estimate that cannot be right."""
    share = float((np.abs(found.corner_moves) / np.array(found.size[::-1])).max())
    shown = f"{found.text}; correlation of the edges {found.before:.2f} before, {found.after:.2f} after"
    if not share <= LARGEST_MOVE:  # written so that NaN fails too
        raise DataError(f"the images could not be aligned: what was found is implausible ({shown})", hint=_HINT)
    rest = _strongest(fixed, aligned)
    believed = (
        found.after >= LEAST_CORRELATION + share
        and found.after >= found.before - 0.01
        and rest is not None
        and rest[1] >= LEAST_PEAK
        and math.hypot(rest[0].dx, rest[0].dy) <= LARGEST_REST
    )
    if not believed:
        raise DataError(
            f"the images could not be aligned: what was found makes them agree too little ({shown})", hint=_HINT
        )


def _edges(picture: Picture) -> Picture:
    """Local contrast of edges, whichever way they run."""
    return oriented_edges(torch.from_numpy(picture)[None]).abs().numpy()


def _agreement(fixed: Picture, other: Picture, mask: npt.NDArray[np.bool_]) -> float:
    """Correlation of the edges of two pictures where the mask says so, away from its rim; 0 if one has none."""
    factor = min(1.0, _LEVELS[-1] / max(fixed.shape))
    inside = _resized(mask.astype(np.float32), factor) > 0.99
    inside = load_cv2().erode(inside.astype(np.uint8), np.ones((9, 9), np.uint8), borderValue=0) > 0
    if inside.sum() < 64:
        return 0.0
    first, second = (_edges(_resized(picture, factor))[inside] for picture in (fixed, other))
    if first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def _resized(picture: Picture, factor: float) -> Picture:
    if factor >= 1.0:
        return picture
    cv2 = load_cv2()
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    resized: Picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return resized


def _warped(pixels: npt.NDArray[Any], matrix: Matrix, size: tuple[int, int]) -> npt.NDArray[Any]:
    cv2 = load_cv2()
    if np.array_equal(matrix, np.eye(3)) and pixels.shape[:2] == size:
        return pixels.copy()
    shrinks = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if shrinks > 1.5:  # several pixels fall into one: without this, most of them would be skipped
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
    near = 1e-6  # the border itself is covered, rounding or not
    inside = (x >= -near) & (y >= -near) & (x <= moving_size[1] - 1 + near) & (y <= moving_size[0] - 1 + near) & (w > 0)
    return np.asarray(inside, np.bool_)


def _box(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """A large box of covered pixels: side by side, whichever side has the largest share uncovered gives way."""
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
