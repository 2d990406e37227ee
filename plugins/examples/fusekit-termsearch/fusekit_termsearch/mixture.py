"""Loss proposer: a mixture of three rules."""

import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.interfaces import BuildContext, Guidance, LossProposal, LossProposer, Sources
from fusekit_termsearch.config import MixtureConfig

RULES = ("equal", "brightest", "sharpest")


class Mixture(LossProposer):
    """w = Σ_j s_j · rule_j with shares s_j that sum to 1; saved with the model, changed by `termsearch.evolution`."""

    Config = MixtureConfig
    config: MixtureConfig

    def __init__(self, config: MixtureConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        self.shares: Tensor
        self.register_buffer("shares", torch.tensor([getattr(self.config, rule) for rule in RULES]))

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> LossProposal:
        images = torch.cat([source.mean(dim=1, keepdim=True) for source in sources], dim=1)
        shares = (self.shares / self.shares.sum()).to(images)
        rules = (torch.full_like(images, 1 / images.shape[1]), _brightest(images), _sharpest(images))
        return LossProposal(sum(share * rule for share, rule in zip(shares, rules, strict=True)))


def _brightest(images: Tensor) -> Tensor:
    """1 for the brightest source of a pixel, 0 for the others."""
    return F.one_hot(images.argmax(dim=1), images.shape[1]).permute(0, 3, 1, 2).to(images)


def _sharpest(images: Tensor) -> Tensor:
    """Weights proportional to the local contrast: the mean absolute difference from the 7×7 local mean, over 7×7."""
    difference = (images - F.avg_pool2d(images, 7, 1, 3, count_include_pad=False)).abs()
    contrast = F.avg_pool2d(difference, 7, 1, 3, count_include_pad=False) + 1e-4
    return contrast / contrast.sum(dim=1, keepdim=True)
