"""Fusion in a Laplacian pyramid: the strongest detail at every scale, and the mean of the coarsest level."""

from __future__ import annotations

import torch
from torch import Tensor

from fusekit.interfaces import BuildContext, FusionBackbone, FusionOutput, Guidance, Sources
from fusekit_baselines.config import LaplacianConfig

_TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_SMALLEST = 4  # shortest allowed side of the coarsest level


class LaplacianPyramid(FusionBackbone):
    """Laplacian pyramid fusion (Burt and Adelson, 1983; fusion by selection: Burt, 1984), for any number of sources.

    Every source is decomposed into details, one image per octave, and a coarse residual. At each pixel of each octave
    the detail with the largest magnitude is selected (the first source in a tie); the residuals are averaged; the
    pyramid is then summed. Equal sources are reproduced. Sources and result are (B, C, H, W) in [0, 1].
    """

    Config = LaplacianConfig
    config: LaplacianConfig

    def __init__(self, config: LaplacianConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        self.levels = self.config.levels
        # Two pixels at every level of the decomposition, and two at every level of the reconstruction.
        self.reach = 4 * (2**self.levels - 1)
        self.stride = 2**self.levels

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> FusionOutput:
        residuals = torch.stack(sources)  # (N, B, C, H, W)
        details: list[Tensor] = []
        for _ in range(_levels(self.levels, *residuals.shape[-2:])):
            coarse = _reduce(residuals)
            details.append(_strongest(residuals - _expand(coarse, residuals.shape[-2:])))
            residuals = coarse
        image = residuals.mean(dim=0)
        for detail in reversed(details):
            image = _expand(image, detail.shape[-2:]) + detail
        return FusionOutput(image.clamp(0.0, 1.0))


def _levels(wanted: int, height: int, width: int) -> int:
    """Number of levels: `wanted`, or fewer so that no side is below `_SMALLEST`."""
    count, side = 0, min(height, width)
    while count < wanted and (side := -(-side // 2)) >= _SMALLEST:
        count += 1
    return count


def _strongest(details: Tensor) -> Tensor:
    """The value of largest magnitude along the first dimension of (N, …)."""
    best = details[0]
    for detail in details[1:]:
        best = torch.where(detail.abs() > best.abs(), detail, best)
    return best


def _reduce(image: Tensor) -> Tensor:
    """Half the size, rounded up: blurred with 1 4 6 4 1, then every second pixel; replicated borders."""
    return _halved(_halved(image, -2), -1)


def _expand(image: Tensor, size: torch.Size) -> Tensor:
    """Twice the size, cropped to `size`: zeros between the pixels, then the same blur, doubled."""
    return _doubled(_doubled(image, -2, size[-2]), -1, size[-1])


def _halved(image: Tensor, dim: int) -> Tensor:
    """Blur and downsample along one dimension; only the remaining pixels are computed."""
    count = -(-image.shape[dim] // 2)
    line = _extended(image, dim, 2)
    kept = [line[..., tap : tap + 2 * count - 1 : 2] for tap in range(len(_TAPS))]
    outer, inner = kept[0] + kept[4], kept[1] + kept[3]
    return (outer * _TAPS[0] + inner * _TAPS[1] + kept[2] * _TAPS[2]).movedim(-1, dim)


def _doubled(image: Tensor, dim: int, length: int) -> Tensor:
    """Upsample along one dimension: only every second doubled tap meets a pixel, 1 6 1 at a pixel, 4 4 between two."""
    line = _extended(image, dim, 1)
    before, centre, after = line[..., :-2], line[..., 1:-1], line[..., 2:]
    at_pixels = (before + after) * (2 * _TAPS[0]) + centre * (2 * _TAPS[2])
    between = (centre + after) * (2 * _TAPS[1])
    return torch.stack([at_pixels, between], dim=-1).flatten(-2)[..., :length].movedim(-1, dim)


def _extended(image: Tensor, dim: int, by: int) -> Tensor:
    """The dimension moved to the end, with its first and last pixel replicated."""
    line = image.movedim(dim, -1)
    first, last = line[..., :1], line[..., -1:]
    return torch.cat([*[first] * by, line, *[last] * by], dim=-1)
