"""Building blocks of ReFusion's networks: Restormer's transformer block, and convolutions without biases.

All blocks preserve height and width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusekit_refusion.arithmetic import ORDERS, Arithmetic
from fusekit_refusion.config import TransformerConfig


def pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    """1×1 convolution without bias."""
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def depthwise(channels: int) -> nn.Conv2d:
    """Depthwise 3×3 convolution without bias, zero padding."""
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)


def convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """3×3 convolution without bias, zero padding."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def widened(inputs: int, outputs: int) -> nn.Sequential:
    """1×1 convolution to `outputs` channels, then a depthwise 3×3 one; for q, k, v, gates and expansions."""
    return nn.Sequential(pointwise(inputs, outputs), depthwise(outputs))


class ChannelNorm(nn.Module):
    """Layer norm over the channels of every pixel."""

    def __init__(self, channels: int, arithmetic: Arithmetic) -> None:
        super().__init__()
        self.arithmetic = arithmetic
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.arithmetic.norm(x, self.weight, self.bias)


class TransposedAttention(nn.Module):
    """Multi-head attention between channels."""

    def __init__(self, channels: int, heads: int, arithmetic: Arithmetic) -> None:
        super().__init__()
        self.arithmetic = arithmetic
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = widened(channels, 3 * channels)
        self.out = pointwise(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=1)
        return self.arithmetic.attend(q, k, v, self.temperature, self.out.weight)


class GatedFeedForward(nn.Module):
    """Expansion to two halves a and b, gelu(a) · b, 1×1 convolution."""

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        hidden = expansion * channels
        self.expand = widened(channels, 2 * hidden)
        self.out = pointwise(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.expand(x).chunk(2, dim=1)
        out: Tensor = self.out(F.gelu(a) * b)
        return out


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x))."""

    def __init__(self, channels: int, config: TransformerConfig) -> None:
        super().__init__()
        arithmetic = ORDERS[config.arithmetic]
        self.norm_attention = ChannelNorm(channels, arithmetic)
        self.attention = TransposedAttention(channels, config.heads, arithmetic)
        self.norm_feed_forward = ChannelNorm(channels, arithmetic)
        self.feed_forward = GatedFeedForward(channels, config.expansion)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_attention(x))
        return x + self.feed_forward(self.norm_feed_forward(x))


def transformer(channels: int, config: TransformerConfig) -> nn.Sequential:
    """A sequence of ``config.blocks`` transformer blocks."""
    return nn.Sequential(*(TransformerBlock(channels, config) for _ in range(config.blocks)))


class Encoder(nn.Sequential):
    """Encodes an image, (B, 1, H, W), to features, (B, C, H, W), with a 3×3 convolution and transformer blocks."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(convolution(1, config.channels), *transformer(config.channels, config))
        self.arithmetic = ORDERS[config.arithmetic]

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = super().forward(self.arithmetic.layout(image))
        return features
