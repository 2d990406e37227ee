"""ReFusion's loss proposal module, which computes the weights of the fusion loss from the sources."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusekit.interfaces import BuildContext, Guidance, LossProposal, LossProposer, Sources
from fusekit_refusion.blocks import Encoder, convolution, transformer
from fusekit_refusion.config import ProposerConfig


class LossProposalModule(LossProposer):
    """Proposes w with a network: one encoder per source, transformer blocks over all, softmax over the sources.

    As released with TDFusion (arXiv 2412.03240) by ReFusion's authors; for any number of sources. The strategy
    defines how it is trained.
    """

    Config = ProposerConfig
    config: ProposerConfig

    def __init__(self, config: ProposerConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        config, context = self.config, self.context
        count = len(context.roles)
        self.encoders = nn.ModuleList(Encoder(config) for _ in range(count))
        self.head = nn.Sequential(
            transformer(count * config.channels, config),
            convolution(count * config.channels, config.channels),
            nn.PReLU(),
            convolution(config.channels, count),
        )

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> LossProposal:
        features = [encode(source) for encode, source in zip(self.encoders, sources, strict=True)]
        scores: Tensor = self.head(torch.cat(features, dim=1))
        if self.config.centred:
            scores = scores - scores.mean(dim=(2, 3), keepdim=True)
        return LossProposal(scores.softmax(dim=1).contiguous())
