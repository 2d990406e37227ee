"""Whether the sources of a scene lie on each other, and laying them so where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fusekit.data.colour import luminance
from fusekit.data.raster import Raster
from fusekit.fusing.align import estimate, looks_shifted, warp

AlignChoice = Literal["off", "shift", "homography"]


@dataclass(frozen=True)
class Registration:
    """Looks at sources before they are fused.

    Attributes:
        align: ``off`` only warns of sources that look shifted; the others lay every source on the largest.
    """

    align: AlignChoice = "off"

    def __call__(self, pictures: Sequence[Raster], roles: Sequence[str]) -> tuple[list[Raster], tuple[str, ...]]:
        """Gives the sources back, aligned if asked for, and what was noticed.

        Raises:
            DataError: No alignment was found that deserves belief.
            PluginError: OpenCV is not installed.
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
                shift = looks_shifted(_luminance(reference), _luminance(picture))
                if shift is not None:
                    notes.append(
                        f"{role} looks shifted against {roles[grid]} by about {shift.dx:+.0f}, {shift.dy:+.0f} pixels "
                        "(right, down); --align shift lays it in place"
                    )
                continue
            found = estimate(_luminance(reference), _luminance(picture), self.align)
            alpha = warp(picture.alpha, found, reference.size) if picture.alpha is not None else None
            aligned[index] = Raster(warp(picture.pixels, found, reference.size), picture.peak, alpha)
            notes.append(f"{role} was laid on {roles[grid]}: {found}")
        return aligned, tuple(notes)


def _luminance(picture: Raster) -> Tensor:
    return luminance(torch.from_numpy(picture.values()))
