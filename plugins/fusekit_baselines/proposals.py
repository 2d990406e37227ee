"""Fixed loss proposers, baselines for learned and attributed ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from fusekit.interfaces import Guidance, LossProposal, LossProposer, Sources
from fusekit_baselines.config import NoOptions


class EqualProposer(LossProposer):
    """w_k = 1 / N everywhere."""

    Config = NoOptions

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> LossProposal:
        images = torch.cat([s.mean(dim=1, keepdim=True) for s in sources], dim=1)
        return LossProposal(torch.full_like(images, 1.0 / len(sources)))


class BrightestProposer(LossProposer):
    """w_k = 1 where source k is the brightest, 0 elsewhere; of equally bright sources the first is chosen."""

    Config = NoOptions

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> LossProposal:
        images = torch.cat([s.mean(dim=1, keepdim=True) for s in sources], dim=1)
        chosen = F.one_hot(images.argmax(dim=1), len(sources))
        return LossProposal(chosen.permute(0, 3, 1, 2).to(images.dtype))
