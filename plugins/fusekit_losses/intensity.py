"""Intensity terms: how far the fused image is from the sources."""

from __future__ import annotations

import torch
from torch import Tensor

from fusekit.interfaces import LossProposal, LossTerm, Sources
from fusekit_losses.config import BrightestIntensityConfig, ProposedIntensityConfig


class ProposedIntensity(LossTerm):
    """L_int = Σ_k mean((w_k · (I_k - F))²), the weight inside the square; ``l1``: Σ_k mean(w_k · |I_k - F|).

    Source: ReFusion (arXiv 2312.07943), TDFusion, UAAFusion: what differs is who proposes w. The L1 form is ours.
    """

    Config = ProposedIntensityConfig
    config: ProposedIntensityConfig

    def __call__(self, image: Tensor, sources: Sources, proposal: LossProposal | None) -> Tensor:
        assert proposal is not None  # see needs() of the Config
        weights = proposal.weights.split(1, dim=1)
        differences = [w * (source - image) for w, source in zip(weights, sources, strict=True)]
        return torch.stack([_size(difference, self.config.norm) for difference in differences]).sum()


class BrightestIntensity(LossTerm):
    """mean|F - max_k I_k|, or its square; what a loss proposer that chooses the brightest source comes to."""

    Config = BrightestIntensityConfig
    config: BrightestIntensityConfig

    def __call__(self, image: Tensor, sources: Sources, proposal: LossProposal | None) -> Tensor:
        return _size(image - torch.stack(sources).amax(dim=0), self.config.norm)


def _size(difference: Tensor, norm: str) -> Tensor:
    return difference.square().mean() if norm == "l2" else difference.abs().mean()
