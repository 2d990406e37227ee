"""Whether the sources of a scene lie on each other, and laying them so where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fusekit.data.colour import luminance
from fusekit.data.raster import Raster
from fusekit.registration.align import estimate, warp
from fusekit.registration.shift import displacement_text, looks_shifted

AlignChoice = Literal["off", "shift", "homography"]

_LARGE = 1024  # sides beyond which a warning does not need every pixel
_STRIP = 256


@dataclass(frozen=True)
class Registration:
    """Looks at sources before they are fused.

    Attributes:
        align: ``off`` only warns of sources that look shifted; the others lay every source on the largest.
        remedy: What the warning says to do.
    """

    align: AlignChoice = "off"
    remedy: str = "--align shift lays it in place"

    def __call__(self, pictures: Sequence[Raster], roles: Sequence[str]) -> tuple[list[Raster], tuple[str, ...]]:
        """Gives the sources back, aligned if asked for, and what was noticed.

        Raises:
            DataError: No alignment was found that deserves belief.
            UsageError: OpenCV is not installed.
        """
        grid = max(range(len(pictures)), key=lambda i: pictures[i].size[0] * pictures[i].size[1])
        reference = pictures[grid]
        aligned, notes = list(pictures), []
        for index, (picture, role) in enumerate(zip(pictures, roles, strict=True)):
            if index == grid:
                continue
            if self.align == "off":
                if picture.size != reference.size:
                    continue  # refused when they are fused, with both sizes
                shift = _shift(reference, picture)
                if shift is not None:
                    notes.append(f"{role} looks shifted against {roles[grid]}: {shift}; {self.remedy}")
                continue
            found = estimate(_luminance(reference), _luminance(picture), self.align)
            alpha = warp(picture.alpha, found, reference.size) if picture.alpha is not None else None
            aligned[index] = Raster(warp(picture.pixels, found, reference.size), picture.peak, alpha)
            notes.append(f"{role} was laid on {roles[grid]}: {found.text}; look at the result")
        return aligned, tuple(notes)


def _shift(reference: Raster, picture: Raster) -> str | None:
    """How far a picture looks shifted, in words; looks at every n-th pixel of large ones."""
    step = max(1, max(reference.size) // _LARGE)
    every = slice(None, None, step)
    fixed, moving = (luminance(torch.from_numpy(p.values(every, every))) for p in (reference, picture))
    found = looks_shifted(fixed, moving)
    return displacement_text(found.dx * step, found.dy * step) if found is not None else None


def _luminance(picture: Raster) -> Tensor:
    """(1, H, W), converted in strips: a large colour picture in floating point is never held whole."""
    rows = range(0, picture.size[0], _STRIP)
    return torch.cat([luminance(torch.from_numpy(picture.values(slice(row, row + _STRIP)))) for row in rows], dim=1)
