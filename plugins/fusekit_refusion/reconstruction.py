"""ReFusion's reconstruction module, which recovers every source from the fused image."""

from __future__ import annotations

from torch import Tensor, nn

from fusekit.interfaces import BuildContext, ReconstructionHead, Sources
from fusekit_refusion.blocks import Encoder, convolution, transformer
from fusekit_refusion.config import ReconstructionConfig


class ReconstructionModule(ReconstructionHead):
    """One encoder for the fused image and one decoder per source, of the same blocks as the fusion module.

    The authors did not release their module; the size is our choice, close to that of the fusion module: 55,272
    parameters for two sources by default.
    """

    Config = ReconstructionConfig
    config: ReconstructionConfig

    def __init__(self, config: ReconstructionConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        config, context = self.config, self.context
        self.encoder = Encoder(config)
        self.decoders = nn.ModuleList(
            nn.Sequential(
                transformer(config.channels, config),
                convolution(config.channels, config.channels),
                nn.LeakyReLU(0.01),
                convolution(config.channels, 1),
                nn.Sigmoid(),
            )
            for _ in context.roles
        )

    def forward(self, fused: Tensor) -> Sources:
        features = self.encoder(fused)
        return tuple(decode(features).contiguous() for decode in self.decoders)
