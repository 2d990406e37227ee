"""Plain implementation of ReFusion's three networks: the reference of the benchmarks.

The layers are plain, in memory order NCHW, and follow the paper operation by operation:

- layer norm over channels: a reshape to (B, HW, C), then mean, variance, division, weight and bias, and a reshape back;
- attention: q and k normalised over the pixels by `F.normalize`, two matrix products per head, a 1×1 convolution.

Every layer holds its parameters twice, as in published code for meta-learning, including ReFusion's released network:
as parameters for the optimiser, and as plain tensors for the forward pass, which a step of the inner update replaces.
The plugin does not use this module.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusekit.interfaces import Sources
from fusekit_refusion.config import NetworkConfig, ProposerConfig, ReconstructionConfig, TransformerConfig


class Doubled(nn.Module):
    """A layer with two copies of its parameters: ``layer`` for the optimiser, ``used`` for the forward pass."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.used: dict[str, Tensor] = {}
        self.reset()

    def reset(self) -> None:
        """Replaces the copies for the forward pass by the parameters."""
        self.used = {name: parameter.clone() for name, parameter in self.layer.named_parameters()}
        for weight in self.used.values():
            weight.retain_grad()

    def adapt(self, rate: float, *, graph: bool) -> None:
        """Replaces the copies by weight - rate · gradient, with or without the graph."""
        for name, weight in self.used.items():
            assert weight.grad is not None
            changed = weight - rate * weight.grad
            self.used[name] = changed if graph else changed.detach().requires_grad_()
            self.used[name].retain_grad()


class Convolution(Doubled):
    """Convolution without bias that preserves height and width."""

    def __init__(self, inputs: int, outputs: int, size: int, groups: int = 1) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, size, groups=groups, bias=False))
        self.padding, self.groups = size // 2, groups

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.used["weight"], padding=self.padding, groups=self.groups)


class ChannelNorm(Doubled):
    """Layer norm over the channels of every pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__(nn.LayerNorm(channels))

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        pixels = x.reshape(batch, channels, height * width).transpose(1, 2)
        mean = pixels.mean(dim=-1, keepdim=True)
        variance = pixels.var(dim=-1, keepdim=True, unbiased=False)
        normal = (pixels - mean) / torch.sqrt(variance + 1e-5) * self.used["weight"] + self.used["bias"]
        return normal.transpose(1, 2).reshape(batch, channels, height, width)


class Attention(Doubled):
    """Attention among the channels of each head; ``layer`` holds the heads' temperatures."""

    def __init__(self, heads: int) -> None:
        super().__init__(nn.ParameterList([torch.ones(heads, 1, 1)]))
        self.heads = heads

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        batch, channels, height, width = v.shape
        q, k, v = (x.reshape(batch, self.heads, channels // self.heads, height * width) for x in (q, k, v))
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        attention = (q @ k.transpose(-2, -1) * self.used["0"]).softmax(dim=-1)
        return (attention @ v).reshape(batch, channels, height, width)


class PRelu(Doubled):
    """Leaky ReLU with a learned slope."""

    def __init__(self) -> None:
        super().__init__(nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self.used["weight"])


def widened(inputs: int, outputs: int) -> nn.Sequential:
    """1×1 convolution followed by a depthwise 3×3 convolution."""
    return nn.Sequential(Convolution(inputs, outputs, 1), Convolution(outputs, outputs, 3, groups=outputs))


class TransformerBlock(nn.Module):
    """Transformer block: x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, channels: int, config: TransformerConfig) -> None:
        super().__init__()
        hidden = config.expansion * channels
        self.first_norm = ChannelNorm(channels)
        self.attention = Attention(config.heads)
        self.qkv = widened(channels, 3 * channels)
        self.mix = Convolution(channels, channels, 1)
        self.second_norm = ChannelNorm(channels)
        self.expand = widened(channels, 2 * hidden)
        self.contract = Convolution(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mix(self.attention(*self.qkv(self.first_norm(x)).chunk(3, dim=1)))
        a, b = self.expand(self.second_norm(x)).chunk(2, dim=1)
        out: Tensor = x + self.contract(F.gelu(a) * b)
        return out


def transformer(channels: int, config: TransformerConfig) -> nn.Sequential:
    """Sequence of transformer blocks."""
    return nn.Sequential(*(TransformerBlock(channels, config) for _ in range(config.blocks)))


def encoder(config: TransformerConfig) -> nn.Sequential:
    """Encoder of a source: 3×3 convolution and transformer blocks."""
    return nn.Sequential(Convolution(1, config.channels, 3), *transformer(config.channels, config))


class AttentionFusion(nn.Module):
    """Cross attention of two streams, then a gated expansion."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels = config.channels
        self.attention = nn.ModuleList(Attention(config.heads) for _ in range(2))
        self.qkv = nn.ModuleList(widened(channels, 3 * channels) for _ in range(2))
        self.mix = nn.ModuleList(Convolution(channels, channels, 1) for _ in range(2))
        self.gate = widened(2 * channels, 8 * channels)
        self.expand = nn.ModuleList(widened(channels, 4 * channels) for _ in range(2))
        self.contract = nn.ModuleList(Convolution(4 * channels, 2 * channels, 1) for _ in range(2))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        q1, k1, v1 = self.qkv[0](first).chunk(3, dim=1)
        q2, k2, v2 = self.qkv[1](second).chunk(3, dim=1)
        first = first + self.mix[0](self.attention[0](q2, k1, v1))
        second = second + self.mix[1](self.attention[1](q1, k2, v2))
        fused = torch.cat([first, second], dim=1)
        gate1, gate2 = self.gate(fused).chunk(2, dim=1)
        fused = fused + self.contract[0](F.gelu(gate1) * self.expand[0](first))
        fused = fused + self.contract[1](F.gelu(gate2) * self.expand[1](second))
        return fused


class FusionNetwork(nn.Module):
    """Fusion module: maps two sources to the fused image."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels = config.channels
        self.encoders = nn.ModuleList(encoder(config) for _ in range(2))
        self.fusion = AttentionFusion(config)
        self.decoder = nn.Sequential(
            transformer(2 * channels, config),
            Convolution(2 * channels, channels, 3),
            nn.LeakyReLU(0.01),
            Convolution(channels, 1, 3),
            nn.Sigmoid(),
        )

    def forward(self, sources: Sources) -> Tensor:
        first, second = (encode(source) for encode, source in zip(self.encoders, sources, strict=True))
        image: Tensor = self.decoder(self.fusion(first, second))
        return image


class Proposer(nn.Module):
    """Loss proposal module: maps the sources to the weights of the fusion loss."""

    def __init__(self, config: ProposerConfig, count: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoder(config) for _ in range(count))
        self.head = nn.Sequential(
            transformer(count * config.channels, config),
            Convolution(count * config.channels, config.channels, 3),
            PRelu(),
            Convolution(config.channels, count, 3),
        )

    def forward(self, sources: Sources) -> Tensor:
        features = [encode(source) for encode, source in zip(self.encoders, sources, strict=True)]
        scores: Tensor = self.head(torch.cat(features, dim=1))
        return scores.softmax(dim=1)


class Reconstruction(nn.Module):
    """Reconstruction module: maps the fused image to an estimate of every source."""

    def __init__(self, config: ReconstructionConfig, count: int) -> None:
        super().__init__()
        self.encoder = encoder(config)
        self.decoders = nn.ModuleList(
            nn.Sequential(
                transformer(config.channels, config),
                Convolution(config.channels, config.channels, 3),
                nn.LeakyReLU(0.01),
                Convolution(config.channels, 1, 3),
                nn.Sigmoid(),
            )
            for _ in range(count)
        )

    def forward(self, fused: Tensor) -> Sources:
        features = self.encoder(fused)
        return tuple(decode(features) for decode in self.decoders)


def doubled(module: nn.Module) -> list[Doubled]:
    """All layers of a network that hold their parameters twice."""
    return [layer for layer in module.modules() if isinstance(layer, Doubled)]


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copies the plugin's weights into a plain network; both register their parameters in the same order."""
    with torch.no_grad():
        for theirs, ours in zip(target.parameters(), source.parameters(), strict=True):
            assert theirs.shape == ours.shape
            theirs.copy_(ours)
    for layer in doubled(target):
        layer.reset()
