"""ReFusion's fusion module: two encoders, attention fusion, one decoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusekit.interfaces import BuildContext, FusionBackbone, FusionOutput, Guidance, Sources
from fusekit_refusion.arithmetic import ORDERS
from fusekit_refusion.blocks import Encoder, convolution, pointwise, transformer, widened
from fusekit_refusion.config import NetworkConfig


class FusionNetwork(FusionBackbone):
    """The fusion module of ReFusion (arXiv 2312.07943, IJCV 2024) and of TDFusion; 59,856 parameters by default.

    Takes two sources, (B, 1, H, W) in [0, 1] of any size; returns (B, 1, H, W) in [0, 1].
    """

    Config = NetworkConfig
    config: NetworkConfig
    source_count = 2

    def __init__(self, config: NetworkConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        config = self.config
        channels = config.channels
        # Each 3×3 convolution adds one pixel: one at the input of the encoder, two at the output of the decoder, and
        # one each in attention and feed-forward of every block and of the fusion. Attention itself uses `image_sums`.
        self.reach = 1 + 2 * config.blocks + 2 + 2 * config.blocks + 2
        self.encoders = nn.ModuleList(Encoder(config) for _ in range(2))
        self.fusion = AttentionFusion(config)
        self.decoder = nn.Sequential(
            transformer(2 * channels, config),
            convolution(2 * channels, channels),
            nn.LeakyReLU(0.01),
            convolution(channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> FusionOutput:
        first, second = (encode(source) for encode, source in zip(self.encoders, sources, strict=True))
        image: Tensor = self.decoder(self.fusion(first, second))
        return FusionOutput(image.contiguous())


class AttentionFusion(nn.Module):
    """Cross attention of two feature streams, then a gated expansion; two (B, C, H, W) to one (B, 2C, H, W)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels, streams = config.channels, range(2)
        self.attend = ORDERS[config.arithmetic].attend
        self.temperature = nn.ParameterList(torch.ones(config.heads, 1, 1) for _ in streams)
        self.qkv = nn.ModuleList(widened(channels, 3 * channels) for _ in streams)
        self.out = nn.ModuleList(pointwise(channels, channels) for _ in streams)
        self.gate = widened(2 * channels, 8 * channels)
        self.expand = nn.ModuleList(widened(channels, 4 * channels) for _ in streams)
        self.contract = nn.ModuleList(pointwise(4 * channels, 2 * channels) for _ in streams)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        # Cross attention: q of one stream with k and v of the other.
        q1, k1, v1 = self.qkv[0](first).chunk(3, dim=1)
        q2, k2, v2 = self.qkv[1](second).chunk(3, dim=1)
        first = first + self.attend(q2, k1, v1, self.temperature[0], _weight(self.out[0]))
        second = second + self.attend(q1, k2, v2, self.temperature[1], _weight(self.out[1]))

        # The gates are computed from both streams, each expansion from one.
        fused = torch.cat([first, second], dim=1)
        gates = self.gate(fused).chunk(2, dim=1)
        for stream, gate, expand, contract in zip((first, second), gates, self.expand, self.contract, strict=True):
            fused = fused + contract(F.gelu(gate) * expand(stream))
        return fused


def _weight(layer: nn.Module) -> Tensor:
    weight: Tensor = layer.weight  # type: ignore[assignment]
    return weight
