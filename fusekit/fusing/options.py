"""How a fused picture should look: range, colour, depth, tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fusekit.errors import UsageError

OutputRange = Literal["clip", "fixed", "stretch"]
BitDepth = Literal["keep", 8, 16]
TileChoice = Literal["auto", "off"] | int

SMALLEST_TILE = 64


@dataclass(frozen=True)
class FuseOptions:
    """Options of fusing, checked when they are made.

    Attributes:
        output_range: ``clip`` keeps the network's own range. ``fixed`` maps `limits` to 0 and 1, the same in every
            picture. ``stretch`` maps each picture's own minimum and maximum to 0 and 1, as the papers' scripts do;
            it is refused for tiles and video, where parts would differ in brightness.
        limits: Lower and upper limit for ``fixed``, within [0, 1].
        colour: ``auto``: the chroma of the colour sources, the more saturated deciding; grey if none is in colour.
            ``luma``: grey. ``channels``: red, green and blue are fused separately. A role: the chroma of that source.
        bit_depth: ``keep``: that of the deepest source; 8 or 16.
        tile: ``auto``: large pictures in tiles; ``off``: never; or the side of a tile in pixels.

    Raises:
        UsageError: A value is none of these, or they do not go together.
    """

    output_range: OutputRange = "clip"
    limits: tuple[float, float] | None = None
    colour: str = "auto"
    bit_depth: BitDepth = "keep"
    tile: TileChoice = "auto"

    def __post_init__(self) -> None:
        if self.output_range not in ("clip", "fixed", "stretch"):
            raise UsageError(f"range {self.output_range!r} is not known; it is clip, fixed or stretch")
        if (self.output_range == "fixed") != (self.limits is not None):
            wanted = "needs limits" if self.output_range == "fixed" else "takes no limits"
            raise UsageError(f"range {self.output_range} {wanted}", hint="for example range fixed with limits 0.1,0.8")
        if self.limits is not None and not 0.0 <= self.limits[0] < self.limits[1] <= 1.0:
            low, high = self.limits
            raise UsageError(f"limits {low:g},{high:g}: the lower must be below the upper, both within [0, 1]")
        if self.bit_depth not in ("keep", 8, 16):
            raise UsageError(f"bit depth {self.bit_depth!r} is not known; it is keep, 8 or 16")
        if self.tile not in ("auto", "off") and (not isinstance(self.tile, int) or self.tile < SMALLEST_TILE):
            raise UsageError(f"tile {self.tile!r} is not known; it is auto, off, or {SMALLEST_TILE} pixels or more")

    def ranged(self, fused: Tensor) -> Tensor:
        """Fused values (B, C, H, W) in the chosen range, within [0, 1]."""
        if self.output_range == "stretch":
            return stretched(fused)
        if self.limits is not None:
            low, high = self.limits
            fused = (fused - low) / (high - low)
        return fused.clamp(0.0, 1.0)


def stretched(fused: Tensor) -> Tensor:
    """Every image of (B, C, H, W) with its minimum mapped to 0 and its maximum to 1; a constant one is clipped."""
    low, high = torch.aminmax(fused.flatten(1), dim=1)
    low, high = (limit.view(-1, 1, 1, 1) for limit in (low, high))
    return torch.where(high > low, (fused - low) / (high - low).clamp_min(1e-30), fused).clamp(0.0, 1.0)
