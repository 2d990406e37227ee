"""The colour policy: networks process luminance, and the colour is restored afterwards.

Full-range BT.601 in floating point, with neutral chroma at 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fusekit.errors import UsageError

NEUTRAL = 0.5
_RED, _BLUE = 0.299, 0.114
_GREEN = 1.0 - _RED - _BLUE
_CR_SCALE, _CB_SCALE = 2 * (1 - _RED), 2 * (1 - _BLUE)


def is_grey(image: Tensor) -> bool:
    """Whether an image (…, 1 or 3, H, W) has no colour: one channel, or three equal ones."""
    _check(image)
    if image.shape[-3] == 1:
        return True
    red, green, blue = image.unbind(-3)
    return torch.equal(red, green) and torch.equal(green, blue)


def luminance(image: Tensor) -> Tensor:
    """Luminance Y of an image.

    Args:
        image: (…, 1 or 3, H, W) in [0, 1].

    Returns:
        (…, 1, H, W) in [0, 1]. For three equal channels it is exactly that channel.
    """
    _check(image)
    if image.shape[-3] == 1:
        return image
    red, green, blue = image.split(1, dim=-3)
    # Equal to 0.299 R + 0.587 G + 0.114 B, written so that R = G = B gives G without rounding.
    return green + _RED * (red - green) + _BLUE * (blue - green)


def chroma(image: Tensor) -> Tensor:
    """Chroma (Cb, Cr) of an image.

    Args:
        image: (…, 1 or 3, H, W) in [0, 1].

    Returns:
        (…, 2, H, W) in [0, 1]; 0.5 is neutral. A grey image is neutral everywhere.
    """
    _check(image)
    if image.shape[-3] == 1:
        return torch.full_like(image, NEUTRAL).repeat_interleave(2, dim=-3)
    luma = luminance(image)
    blue, red = image[..., 2:3, :, :], image[..., 0:1, :, :]
    return torch.cat([(blue - luma) / _CB_SCALE, (red - luma) / _CR_SCALE], dim=-3) + NEUTRAL


def join(luma: Tensor, colour: Tensor) -> Tensor:
    """Combines luminance (…, 1, H, W) and chroma (…, 2, H, W) to RGB (…, 3, H, W), clipped to [0, 1]."""
    offset = colour - NEUTRAL
    to_blue, to_red = _CB_SCALE * offset[..., 0:1, :, :], _CR_SCALE * offset[..., 1:2, :, :]
    green = luma - (_BLUE * to_blue + _RED * to_red) / _GREEN
    return torch.cat([luma + to_red, green, luma + to_blue], dim=-3).clamp(0, 1)


def restore_colour(fused_luma: Tensor, images: Sequence[Tensor]) -> Tensor:
    """Restores the colour of the sources in a fused luminance.

    If exactly one source has colour, its chroma is used. If several have colour, their chroma is averaged with
    weights ``|C - neutral|``, so that more saturated sources dominate. If none has colour, the result is grey.

    Args:
        fused_luma: (…, 1, H, W) in [0, 1].
        images: The sources as they were read, each (…, 1 or 3, H, W) in [0, 1], of the same size.

    Returns:
        (…, 3, H, W) in [0, 1], or (…, 1, H, W) if no source has colour.

    Raises:
        UsageError: Sizes differ.
    """
    _check(fused_luma)
    for image in images:
        _check(image)
        if image.shape[-2:] != fused_luma.shape[-2:]:
            raise UsageError(
                f"the colour of a source of size {tuple(image.shape[-2:])} cannot be applied to a fused image of size "
                f"{tuple(fused_luma.shape[-2:])} (height, width)"
            )
    coloured = [image.to(fused_luma) for image in images if not is_grey(image)]
    if not coloured:
        return fused_luma
    if len(coloured) == 1:
        return join(fused_luma, chroma(coloured[0]))
    offsets = torch.stack([chroma(image) for image in coloured]) - NEUTRAL
    shares = offsets.abs()
    total = shares.sum(dim=0)
    # Where all sources are neutral, the result is neutral too; the divisor does not matter there.
    offset = (shares * offsets).sum(dim=0) / torch.where(total > 0, total, torch.ones_like(total))
    return join(fused_luma, offset + NEUTRAL)


def _check(image: Tensor) -> None:
    if image.ndim < 3 or image.shape[-3] not in (1, 3):
        raise UsageError(f"an image must be (…, 1 or 3, height, width), not {tuple(image.shape)}")
