"""Checking whether the sources of a scene are registered, and registering them on request."""

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

_LARGE = 1024  # longest side for which the check uses every pixel
_STRIP = 256


@dataclass(frozen=True)
class Registration:
    """Checks or registers sources before they are fused.

    Attributes:
        align: ``off`` only warns of sources that look shifted; ``shift`` and ``homography`` register every source to
            the largest one.
        remedy: Advice at the end of the warning.
    """

    align: AlignChoice = "off"
    remedy: str = "--align shift registers it"

    def __call__(self, sources: Sequence[Raster], roles: Sequence[str]) -> tuple[list[Raster], tuple[str, ...]]:
        """The sources, registered unless `align` is ``off``, and notes about them.

        Raises:
            DataError: No plausible registration was found.
            UsageError: OpenCV is not installed.
        """
        grid = max(range(len(sources)), key=lambda i: sources[i].size[0] * sources[i].size[1])
        reference = sources[grid]
        aligned, notes = list(sources), []
        for index, (source, role) in enumerate(zip(sources, roles, strict=True)):
            if index == grid:
                continue
            if self.align == "off":
                if source.size != reference.size:
                    continue  # fusion refuses them later, with both sizes in the message
                shift = _shift(reference, source)
                if shift is not None:
                    notes.append(f"{role} looks shifted against {roles[grid]}: {shift}; {self.remedy}")
                continue
            alignment = estimate(_luminance(reference), _luminance(source), self.align)
            alpha = warp(source.alpha, alignment, reference.size) if source.alpha is not None else None
            aligned[index] = Raster(warp(source.pixels, alignment, reference.size), source.peak, alpha)
            notes.append(f"{role} was registered to {roles[grid]}: {alignment.text}; please check the result")
        return aligned, tuple(notes)


def _shift(reference: Raster, source: Raster) -> str | None:
    """Description of the shift of an image, or None; large images are subsampled to every n-th pixel."""
    step = max(1, max(reference.size) // _LARGE)
    every = slice(None, None, step)
    fixed, moving = (luminance(torch.from_numpy(p.values(every, every))) for p in (reference, source))
    shift = looks_shifted(fixed, moving)
    return displacement_text(shift.dx * step, shift.dy * step) if shift is not None else None


def _luminance(source: Raster) -> Tensor:
    """Luminance (1, H, W), converted in strips, so that a large colour image never exists completely in float."""
    rows = range(0, source.size[0], _STRIP)
    return torch.cat([luminance(torch.from_numpy(source.values(slice(row, row + _STRIP)))) for row in rows], dim=1)
