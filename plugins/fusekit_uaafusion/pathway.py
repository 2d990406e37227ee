"""The pathway function of the unfolding: attribute a source along the iterates that lead to it."""

from __future__ import annotations

import torch

from fusekit.interfaces import BuildContext, Path, Pathway, Sources
from fusekit_uaafusion.config import UnfoldingPathConfig


class UnfoldingPath(Pathway):
    """f_k = f_{k-1} + τ (I - f_{k-1}), from f_0, the mean of the sources, for k = 1..K.

    Our reading of UAAFusion's pathway function (arXiv 2502.01467): the baseline is not black but f_0, where
    the unfolding starts, and the path follows the gradient steps of the data term towards the source, whose
    minimiser is the source. The last step goes all the way, so that the increments sum to I - f_0 and the
    attributions to s(I) - s(f_0), up to the discretisation. The attribution along the actual iterates of a
    forward pass is the attention of the stage; weights are wanted before there are any.
    """

    Config = UnfoldingPathConfig

    def __init__(self, config: UnfoldingPathConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        config = config or UnfoldingPathConfig()
        self.steps, self.step_length = config.steps, config.step_length

    def path(self, sources: Sources, index: int) -> Path:
        start, source = torch.stack(sources).mean(dim=0), sources[index]
        left = [(1.0 - self.step_length) ** k for k in range(self.steps)] + [0.0]
        iterates = torch.stack([source + share * (start - source) for share in left])
        return Path(iterates[1:], iterates[1:] - iterates[:-1])
