"""Detecting a shift between two images by phase correlation of oriented edges. Needs only torch.

Cameras for different spectral bands agree only in the position and orientation of edges, and the contrast of an edge
may be inverted. Each pixel is therefore mapped to a complex number: its magnitude is the gradient magnitude relative to
its surroundings, its angle twice the gradient's angle (so that opposite directions are equal). The correlation of two
such edge images peaks at the displacement between them.

The threshold matters more than the peak: the warning is given for pairs that are supposed to be registered, so false
alarms must be rare. A displacement is reported only if its peak stands out from the noise of the correlation, from all
other displacements, and from zero displacement.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.data.colour import luminance
from fusekit.errors import UsageError

LARGEST_SIDE = 512
"""Longest side, in pixels, to which images are reduced before they are compared."""

LEAST_SHIFT = 2.0
"""Smallest displacement that is reported, in pixels of the original images."""

MIN_PEAK = 10.0
MIN_CONFIDENCE = 1.8
"""Chosen on half of 720 public registered pairs (thermal, medical, multi-focus, multi-exposure), checked on the others:
an alarm for 1 in 720, and for 57 % of the same pairs when displaced by 4 to 20 pixels (nearly all where both images
are visible light, two thirds of street scenes with heat, hardly any of MRI with PET)."""

_SEARCHED = 0.25
_NEAR_ZERO, _NEAR_PEAK = 1, 5
_EDGE_BLUR, _SURROUNDINGS, _PEAK_BLUR = 1.5, 12.0, 2.0


@dataclass(frozen=True)
class Shift:
    """A displacement of the content of one image against another.

    Attributes:
        dx: Displacement of the moving image's content to the right, in pixels.
        dy: Displacement downwards, in pixels.
        confidence: Height of the peak relative to the highest peak of any other displacement or of zero displacement.
    """

    dx: float
    dy: float
    confidence: float

    @property
    def text(self) -> str:
        """Description for users: ``3.2 px right, 1.0 px down``."""
        return displacement_text(self.dx, self.dy)


def displacement_text(dx: float, dy: float) -> str:
    """Description such as ``3.2 px right, 1.0 px down``, without components that round to zero."""
    parts = [
        f"{abs(value):.1f} px {positive if value > 0 else negative}"
        for value, positive, negative in ((dx, "right", "left"), (dy, "down", "up"))
        if abs(value) >= 0.05
    ]
    return ", ".join(parts) or "0.0 px"


def looks_shifted(reference: Tensor, moving: Tensor) -> Shift | None:
    """Detect a displacement in a pair that should be registered.

    The detection avoids false alarms: a thermal and a visible image often have too little in common for a decision,
    and displacements below about 4 pixels are mostly hidden by the peak at zero displacement. A result of None does
    not prove that the pair is registered.

    Args:
        reference: (1 or 3, H, W) in [0, 1].
        moving: (1 or 3, H, W) in [0, 1], of the same height and width.

    Returns:
        The displacement of `moving`, if one of at least `LEAST_SHIFT` pixels and up to a quarter of a side is detected.

    Raises:
        UsageError: The sizes differ.
    """
    if reference.shape[-2:] != moving.shape[-2:]:
        raise UsageError(
            f"a shift can only be detected between images of the same size, not {tuple(reference.shape[-2:])} and "
            f"{tuple(moving.shape[-2:])} (height, width)"
        )
    factor = max(1.0, max(reference.shape[-2:]) / LARGEST_SIDE)
    peak = strongest_shift(_reduced(luminance(reference), factor), _reduced(luminance(moving), factor))
    if peak is None:
        return None
    shift, height = peak
    shift = Shift(shift.dx * factor, shift.dy * factor, shift.confidence)
    clear = height >= MIN_PEAK and shift.confidence >= MIN_CONFIDENCE
    return shift if clear and math.hypot(shift.dx, shift.dy) >= LEAST_SHIFT else None


def strongest_shift(reference: Tensor, moving: Tensor) -> tuple[Shift, float] | None:
    """The displacement at which two images of the same size (1, H, W) agree best, however low that agreement is.

    Returns:
        The displacement in pixels, and the height of its peak in standard deviations of the noise around it; None if
        an image has no edges.
    """
    first, second = oriented_edges(reference), oriented_edges(moving)
    if not (bool((first != 0).any()) and bool((second != 0).any())):
        return None
    surface = _correlation(first, second)
    middle_y, middle_x = surface.shape[0] // 2, surface.shape[1] // 2
    reach_y, reach_x = int(surface.shape[0] * _SEARCHED), int(surface.shape[1] * _SEARCHED)
    near = surface[middle_y - reach_y : middle_y + reach_y + 1, middle_x - reach_x : middle_x + reach_x + 1]
    near = near - near.median()
    noise = float(near.abs().median()) * 1.4826 or 1e-12
    row, column = divmod(int(near.argmax()), near.shape[1])
    others = near.clone()
    others[
        max(0, row - _NEAR_PEAK) : row + _NEAR_PEAK + 1, max(0, column - _NEAR_PEAK) : column + _NEAR_PEAK + 1
    ] = -math.inf
    still = near[reach_y - _NEAR_ZERO : reach_y + _NEAR_ZERO + 1, reach_x - _NEAR_ZERO : reach_x + _NEAR_ZERO + 1].max()
    runner_up = max(float(others.max()), float(still), 3 * noise)
    shift = Shift(
        column - reach_x + _between(near[row], column),
        row - reach_y + _between(near[:, column], row),
        float(near[row, column]) / runner_up,
    )
    return shift, float(near[row, column]) / noise


def oriented_edges(luma: Tensor) -> Tensor:
    """Edges of an image (1, H, W) as (H, W) complex: magnitude local contrast, up to 3; angle twice the gradient's."""
    smooth = _blurred(luma.float(), _EDGE_BLUR)[0]
    across = F.pad(smooth[:, 2:] - smooth[:, :-2], (1, 1))
    down = F.pad(smooth[2:] - smooth[:-2], (0, 0, 1, 1))
    gradient = torch.complex(across, down)
    strength = gradient.abs()
    if float(strength.max()) < 1e-6:
        return torch.zeros_like(gradient)
    around = _blurred(strength[None], _SURROUNDINGS)[0] + 0.01 * strength.max()
    return (gradient / strength.clamp(min=1e-9)) ** 2 * (strength / around).clamp(max=3.0)


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """Correlation of two edge images for each displacement of the second, with zero displacement in the middle."""
    height, width = first.shape
    rows, columns = (torch.hann_window(n, periodic=False, device=first.device) for n in (height, width))
    window = rows[:, None] * columns[None]
    cross = torch.fft.fft2(second * window) * torch.fft.fft2(first * window).conj()
    # a compromise between cross-correlation, whose peak is broad, and phase correlation, which gives noisy frequencies
    # the same weight as all others
    size = cross.abs()
    cross = cross / (size.sqrt() + 1e-9 * size.max().sqrt())
    up, along = torch.fft.fftfreq(height, device=first.device), torch.fft.fftfreq(width, device=first.device)
    cross = cross * torch.exp(-((math.pi * _PEAK_BLUR) ** 2) * (up[:, None] ** 2 + along[None] ** 2))
    return torch.fft.fftshift(torch.fft.ifft2(cross).real)


def _between(line: Tensor, index: int) -> float:
    """Subpixel offset, -0.5 to 0.5, of the vertex of the parabola through a peak and its two neighbours."""
    if not 0 < index < len(line) - 1:
        return 0.0
    before, at, after = (float(value) for value in line[index - 1 : index + 2])
    bend = before - 2 * at + after
    return max(-0.5, min(0.5, (before - after) / (2 * bend))) if bend < 0 else 0.0


def _reduced(luma: Tensor, factor: float) -> Tensor:
    if factor <= 1.0:
        return luma.float()
    size = [max(1, round(side / factor)) for side in luma.shape[-2:]]
    return F.interpolate(luma.float()[None], size=size, mode="bilinear", antialias=True, align_corners=False)[0]


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """An image (1, H, W) blurred with a Gaussian, with replicated borders."""
    reach = min(math.ceil(3 * sigma), min(image.shape[-2:]) - 1)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32, device=image.device)
    kernel = torch.exp(-(steps**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = F.pad(image[None], (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])[0]
