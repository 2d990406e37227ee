"""Fusion in a Laplacian pyramid: the strongest detail of every scale, over the mean of what is left."""

from __future__ import annotations

import torch
import torch.nn.functional as F
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

    def __init__(self, config: LaplacianConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        self.levels = (config or LaplacianConfig()).levels
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
    """Half the size, rounded up: blurred, then every second pixel."""
    return _blurred(image)[..., ::2, ::2]


def _expand(image: Tensor, size: torch.Size) -> Tensor:
    """Twice the size, to (height, width) `size`: pixels at every second place, filled in by the blur."""
    height, width = image.shape[-2:]
    # The pixel behind the border that the blur of an even side asks for is the last one again.
    padded = _padded(image, (1, 1, 1, 1))
    spread = padded.new_zeros(*padded.shape[:-2], 2 * height + 4, 2 * width + 4)
    spread[..., ::2, ::2] = 4.0 * padded
    kernel = _kernel(image)
    filled = F.conv2d(spread.flatten(0, -3)[:, None], kernel)
    return filled.view(*image.shape[:-2], *filled.shape[-2:])[..., : size[0], : size[1]]


def _blurred(image: Tensor) -> Tensor:
    padded = _padded(image, (2, 2, 2, 2))
    return F.conv2d(padded.flatten(0, -3)[:, None], _kernel(image)).view(image.shape)


def _padded(image: Tensor, by: tuple[int, int, int, int]) -> Tensor:
    flat = F.pad(image.flatten(0, -3)[:, None], by, mode="replicate")
    return flat.view(*image.shape[:-2], *flat.shape[-2:])


def _kernel(image: Tensor) -> Tensor:
    taps = image.new_tensor(_TAPS)
    return (taps[:, None] * taps)[None, None]
