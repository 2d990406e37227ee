"""Channel norm and channel attention, in two orders of the same operations.

Both compute the same formulas. `Fused` touches the pixels as seldom as it can, and sums in an order that
loses little; it is what everything here is trained with. `Released` takes the order of ReFusion's released
code: its float32 sums over many thousand equal pixels round differently, by up to 1e-4 of the result on
images with large constant areas, and so published weights give the published output bit for bit
(docs/decisions/0012-two-orders-of-arithmetic.md).
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Order = Literal["fused", "released"]

_NORM_EPSILON = 1e-5
_LENGTH_EPSILON = 1e-12  # of the lengths that q and k are divided by, as released
_SQUARE_EPSILON = 1e-12  # of the squares of these lengths; larger, so that black images have second derivatives


class Arithmetic(Protocol):
    """An order of operations."""

    def layout(self, image: Tensor) -> Tensor:
        """An image, (B, 1, H, W), as it should lie in memory; all that is made of it keeps to that."""
        ...

    def norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Layer norm over the channels of every pixel of (B, C, H, W): affine, biased variance, ε = 1e-5."""
        ...

    def attend(self, q: Tensor, k: Tensor, v: Tensor, temperature: Tensor, out: Tensor) -> Tensor:
        """Transposed attention: channels of a head attend to each other over all pixels; then a 1×1 convolution.

        Args:
            q, k, v: (B, C, H, W); q and k are L2-normalised over the pixels.
            temperature: Learned scale of every head, (heads, 1, 1).
            out: Weight of the 1×1 convolution that mixes the heads, (C, C, 1, 1).

        Returns:
            (B, C, H, W).
        """
        ...


class Fused:
    """Few passes over the pixels. Features lie channels last: norms copy nothing, convolutions gain on a CPU."""

    def layout(self, image: Tensor) -> Tensor:
        # A view whose strides say so. `contiguous` would change nothing: one channel is contiguous either way, and
        # convolutions go by the strides.
        return image.squeeze(1).unsqueeze(-1).permute(0, 3, 1, 2)

    def norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1)
        return F.layer_norm(last, last.shape[-1:], weight, bias, _NORM_EPSILON).permute(0, 3, 1, 2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, temperature: Tensor, out: Tensor) -> Tensor:
        batch, channels, height, width = v.shape
        heads, size = temperature.shape[0], channels // temperature.shape[0]
        q, k, v = (x.permute(0, 2, 3, 1).reshape(batch, height * width, channels) for x in (q, k, v))

        # qᵀk of normalised q and k is qᵀk divided by their lengths: a matter of a few numbers.
        shorter = [x.square().sum(dim=1).clamp_min(_SQUARE_EPSILON).rsqrt() for x in (q, k)]
        similar = (q.transpose(1, 2) @ k) * shorter[0][:, :, None] * shorter[1][:, None, :]

        # Heads are blocks on the diagonal of the channel-by-channel matrix.
        blocks = similar.view(batch, heads, size, heads, size).diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
        attention = (blocks * temperature).softmax(dim=-1)  # (B, heads, size, size)

        # The convolution after the attention, head by head, is one (C, C) matrix per image.
        mixing = out.view(channels, heads, size).transpose(0, 1)  # (heads, C, size)
        mixed = (mixing @ attention).transpose(1, 2).reshape(batch, channels, channels)
        return (v @ mixed.transpose(1, 2)).view(batch, height, width, channels).permute(0, 3, 1, 2)


class Released:
    """The order of ReFusion's released code, step by step."""

    def layout(self, image: Tensor) -> Tensor:
        return image

    def norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1)
        spread = last.var(dim=-1, keepdim=True, unbiased=False)
        normal = (last - last.mean(dim=-1, keepdim=True)) / torch.sqrt(spread + _NORM_EPSILON)
        return (normal * weight + bias).permute(0, 3, 1, 2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, temperature: Tensor, out: Tensor) -> Tensor:
        batch, channels, height, width = v.shape
        heads = temperature.shape[0]
        q, k, v = (x.reshape(batch, heads, channels // heads, height * width) for x in (q, k, v))
        q, k = (F.normalize(x, dim=-1, eps=_LENGTH_EPSILON) for x in (q, k))
        attention = (q @ k.transpose(-2, -1) * temperature).softmax(dim=-1)
        return F.conv2d((attention @ v).reshape(batch, channels, height, width), out)


ORDERS: dict[Order, Arithmetic] = {"fused": Fused(), "released": Released()}
