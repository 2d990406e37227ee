"""Fusion in a Laplacian pyramid: the strongest detail of every scale, over the mean of what is left."""

from __future__ import annotations

import torch
from torch import Tensor

from fusekit.interfaces import BuildContext, FusionBackbone, FusionOutput, Guidance, Sources
from fusekit_baselines.config import LaplacianConfig

_TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_SMALLEST = 4  # sides of the coarsest level, at least


class LaplacianPyramid(FusionBackbone):
    """Laplacian pyramid fusion (Burt and Adelson, 1983; fusion by selection: Burt, 1984), for any number of sources.

    Every source is split into details, one image per octave, and a coarse rest. At each pixel of each octave the
    detail of the largest magnitude is kept, the first source winning ties; the rests are averaged; the pyramid is
    then added up. Equal sources give themselves back. Sources and result are (B, C, H, W) in [0, 1].
    """

    Config = LaplacianConfig
    config: LaplacianConfig

    def __init__(self, config: LaplacianConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        self.levels = self.config.levels
        # Two pixels of every level on the way down, and two on the way up again.
        self.reach = 4 * (2**self.levels - 1)
        self.stride = 2**self.levels

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> FusionOutput:
        rests = torch.stack(sources)  # (N, B, C, H, W)
        details: list[Tensor] = []
        for _ in range(_levels(self.levels, *rests.shape[-2:])):
            coarse = _reduce(rests)
            details.append(_strongest(rests - _expand(coarse, rests.shape[-2:])))
            rests = coarse
        image = rests.mean(dim=0)
        for detail in reversed(details):
            image = _expand(image, detail.shape[-2:]) + detail
        return FusionOutput(image.clamp(0.0, 1.0))


def _levels(wanted: int, height: int, width: int) -> int:
    """As many levels as wanted, but none with sides below `_SMALLEST`."""
    count, side = 0, min(height, width)
    while count < wanted and (side := -(-side // 2)) >= _SMALLEST:
        count += 1
    return count


def _strongest(details: Tensor) -> Tensor:
    """Of (N, …), at every place the value of the largest magnitude."""
    best = details[0]
    for detail in details[1:]:
        best = torch.where(detail.abs() > best.abs(), detail, best)
    return best


def _reduce(image: Tensor) -> Tensor:
    """Half the size, rounded up: blurred with 1 4 6 4 1, then every second pixel; borders repeat."""
    return _halved(_halved(image, -2), -1)


def _expand(image: Tensor, size: torch.Size) -> Tensor:
    """Twice the size, to (height, width) `size`: pixels at every second place, the same blur fills in the others."""
    return _doubled(_doubled(image, -2, size[-2]), -1, size[-1])


def _halved(image: Tensor, dim: int) -> Tensor:
    """Only the pixels that are kept are blurred."""
    count = -(-image.shape[dim] // 2)
    line = _extended(image, dim, 2)
    kept = [line[..., tap : tap + 2 * count - 1 : 2] for tap in range(len(_TAPS))]
    outer, inner = kept[0] + kept[4], kept[1] + kept[3]
    return (outer * _TAPS[0] + inner * _TAPS[1] + kept[2] * _TAPS[2]).movedim(-1, dim)


def _doubled(image: Tensor, dim: int, length: int) -> Tensor:
    """Of the taps, doubled, every second falls on a pixel: 1 6 1 where one stands, 4 4 between two."""
    line = _extended(image, dim, 1)
    before, here, after = line[..., :-2], line[..., 1:-1], line[..., 2:]
    standing = (before + after) * (2 * _TAPS[0]) + here * (2 * _TAPS[2])
    between = (here + after) * (2 * _TAPS[1])
    return torch.stack([standing, between], dim=-1).flatten(-2)[..., :length].movedim(-1, dim)


def _extended(image: Tensor, dim: int, by: int) -> Tensor:
    """The axis moved to the end, its first and last pixel repeated."""
    line = image.movedim(dim, -1)
    first, last = line[..., :1], line[..., -1:]
    return torch.cat([*[first] * by, line, *[last] * by], dim=-1)
