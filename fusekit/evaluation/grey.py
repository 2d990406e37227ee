"""The single conversion from an image to the 8-bit image that metrics score: grey, or RGB for metrics of colour."""

from __future__ import annotations

import torch
from torch import Tensor

# Ties are frequent: the mean of two 8-bit images ends in .5 at every second pixel, and how these are rounded changes
# its entropy by 0.2 bits. A float32 image differs from such a value by up to 1.5e-5 grey levels; 8-bit luminances
# are multiples of 1e-3. Four decimals are between the two, so float images and 8-bit ones have the same ties.
_DECIMALS = 4


def grey8(image: Tensor) -> Tensor:
    """Convert an image to the 8-bit grey image that metrics take.

    Luminance is ``0.299 R + 0.587 G + 0.114 B`` (BT.601, full range), computed in float64 and rounded once,
    ties to even as NumPy and OpenCV do, then clipped to 0..255. A one-channel image is only rounded and
    clipped.

    Args:
        image: ``(H, W)``, ``(1, H, W)`` or ``(3, H, W)``; uint8, or floating point in [0, 1] (clipped
            outside).

    Returns:
        ``(H, W)`` uint8.

    Raises:
        ValueError: The shape or dtype is not one of these, the image is empty, or values are not finite.
    """
    if image.ndim == 2:
        image = image.unsqueeze(0)
    if image.ndim != 3 or image.shape[0] not in (1, 3) or image.numel() == 0:
        raise ValueError(f"expected shape (H, W), (1, H, W) or (3, H, W), got {tuple(image.shape)}")
    if image.dtype == torch.uint8:
        if image.shape[0] == 1:
            return image[0]
        levels = image.to(torch.float64)
    elif image.is_floating_point():
        if not bool(torch.isfinite(image).all()):
            raise ValueError("the image contains NaN or infinite values, which have no grey level")
        levels = image.to(torch.float64) * 255.0
    else:
        raise ValueError(f"expected uint8 or a floating point dtype, got {image.dtype}")
    grey = levels[0] if levels.shape[0] == 1 else 0.299 * levels[0] + 0.587 * levels[1] + 0.114 * levels[2]
    return torch.round(torch.round(grey, decimals=_DECIMALS)).clamp(0.0, 255.0).to(torch.uint8)


def colour8(image: Tensor) -> Tensor:
    """Convert an image to the 8-bit RGB image that metrics of colour take, each channel rounded as in `grey8`.

    Args:
        image: As for `grey8`. One channel becomes three equal ones.

    Returns:
        ``(3, H, W)`` uint8.

    Raises:
        ValueError: As for `grey8`.
    """
    channels = image if image.ndim == 3 and image.shape[0] == 3 else grey8(image)[None].expand(3, -1, -1)
    return torch.stack([grey8(channel) for channel in channels])
