"""The straight path from zero: integrated gradients with a black baseline."""

from __future__ import annotations

import torch

from fusekit.guidance.config import StraightPathConfig
from fusekit.interfaces.context import BuildContext
from fusekit.interfaces.pathway import Path, Pathway
from fusekit.interfaces.types import Sources


class StraightPath(Pathway):
    """x_k = I · k / K for k = 1..K, each with the increment I / K.

    The right-hand Riemann sum of integrated gradients (Sundararajan et al., ICML 2017) with a black
    baseline; the path of UAAFusion's released code.
    """

    Config = StraightPathConfig

    def __init__(self, config: StraightPathConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        self.steps = (config or StraightPathConfig()).steps

    def path(self, sources: Sources, index: int) -> Path:
        source = sources[index]
        share = torch.arange(1, self.steps + 1, device=source.device, dtype=source.dtype) / self.steps
        points = source[None] * share[:, None, None, None, None]
        return Path(points, (source / self.steps).expand_as(points))
