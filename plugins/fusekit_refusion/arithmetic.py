"""Channel norm and channel attention, in two orders of the same operations.

Both compute the same formulas. `Fused` minimises the number of passes over the pixels and the rounding errors of sums;
it is the default, also for training. `Released` uses the order of ReFusion's released code: its float32 sums over many
thousand equal pixels round differently, by up to 1e-4 of the result on images with large constant areas. With this
order, released weights reproduce the published output bit for bit (docs/decisions/0012-two-orders-of-arithmetic.md).

The sums of the attention over the pixels are computed through `image_sums`, so that the tiles of a large image share
them (docs/decisions/0014-tiles.md).
"""

from __future__ import annotations

from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.interfaces import Sums, image_sums, in_parts

Order = Literal["fused", "released"]

_NORM_EPSILON = 1e-5
_LENGTH_EPSILON = 1e-12  # lower bound of the norms by which q and k are divided, as released
_SQUARE_EPSILON = 1e-12  # lower bound of their squares; larger, so that black images have second derivatives


class Arithmetic(Protocol):
    """An order of operations."""

    def layout(self, image: Tensor) -> Tensor:
        """An image, (B, 1, H, W), in the preferred memory layout, which its features inherit."""
        ...

    def norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Layer norm over the channels of every pixel of (B, C, H, W): affine, biased variance, ε = 1e-5."""
        ...

    def attend(self, q: Tensor, k: Tensor, v: Tensor, temperature: Tensor, out: Tensor) -> Tensor:
        """Transposed attention: the channels of a head attend to each other over all pixels; then a 1×1 convolution.

        Args:
            q, k, v: (B, C, H, W); q and k are L2-normalised over the pixels.
            temperature: Learned scale of each head, (heads, 1, 1).
            out: Weight of the 1×1 convolution that mixes the heads, (C, C, 1, 1).

        Returns:
            (B, C, H, W).
        """
        ...


class Fused:
    """Few passes over the pixels. Features are channels last: norms need no copy, convolutions are faster on a CPU."""

    def layout(self, image: Tensor) -> Tensor:
        # A view with channels-last strides. `contiguous` would have no effect: a single channel is contiguous in both
        # layouts, and convolutions choose their layout by the strides.
        return image.squeeze(1).unsqueeze(-1).permute(0, 3, 1, 2)

    def norm(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1)
        return F.layer_norm(last, last.shape[-1:], weight, bias, _NORM_EPSILON).permute(0, 3, 1, 2)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, temperature: Tensor, out: Tensor) -> Tensor:
        batch, channels, height, width = v.shape
        heads, size = temperature.shape[0], channels // temperature.shape[0]

        # qᵀk of normalised q and k is qᵀk divided by their norms, which avoids a pass over the pixels.
        products, *squares = image_sums(_products_and_squares, q, k)
        inverse_norms = [x.clamp_min(_SQUARE_EPSILON).rsqrt() for x in squares]
        similarity = products * inverse_norms[0][:, :, None] * inverse_norms[1][:, None, :]
        attention = (_blocks(similarity, heads) * temperature).softmax(dim=-1)  # (B, heads, size, size)

        # Attention of all heads and the following convolution are combined into one (C, C) matrix per image.
        mixing = out.view(channels, heads, size).transpose(0, 1)  # (heads, C, size)
        mixed = (mixing @ attention).transpose(1, 2).reshape(batch, channels, channels)
        return (_pixels_first(v) @ mixed.transpose(1, 2)).view(batch, height, width, channels).permute(0, 3, 1, 2)


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
        if in_parts():  # sums of other tiles are added, so the released order of a single sum cannot be kept
            products, *squares = image_sums(_products_and_squares, q, k)
            norms = [x.sqrt().clamp_min(_LENGTH_EPSILON) for x in squares]
            similarity = _blocks(products / norms[0][:, :, None] / norms[1][:, None, :], heads)
        else:
            q, k = (x.reshape(batch, heads, channels // heads, height * width) for x in (q, k))
            q, k = (F.normalize(x, dim=-1, eps=_LENGTH_EPSILON) for x in (q, k))
            similarity = q @ k.transpose(-2, -1)
        attention = (similarity * temperature).softmax(dim=-1)
        attended = attention @ v.reshape(batch, heads, channels // heads, height * width)
        return F.conv2d(attended.reshape(batch, channels, height, width), out)


def _pixels_first(x: Tensor) -> Tensor:
    """(B, C, H, W) as (B, H·W, C); a view if it is channels last."""
    batch, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)


def _products_and_squares(q: Tensor, k: Tensor) -> Sums:
    """qᵀk over the pixels, (B, C, C), and the squared norms of q and k, each (B, C)."""
    q, k = _pixels_first(q), _pixels_first(k)
    return q.transpose(1, 2) @ k, q.square().sum(dim=1), k.square().sum(dim=1)


def _blocks(matrix: Tensor, heads: int) -> Tensor:
    """The diagonal blocks of (B, C, C), one per head: (B, heads, C / heads, C / heads)."""
    batch, channels, _ = matrix.shape
    size = channels // heads
    return matrix.view(batch, heads, size, heads, size).diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)


ORDERS: dict[Order, Arithmetic] = {"fused": Fused(), "released": Released()}
