"""Small 8-bit images as text: PNG files in base64, for the metadata of model files."""

from __future__ import annotations

import base64
import binascii
import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fusekit.errors import DataError

LARGEST = 1 << 20
"""Largest number of pixels that is decoded: model files are not trusted."""


def encode_png(image: Tensor) -> str:
    """A PNG file in base64.

    Args:
        image: (1 or 3, H, W) float in [0, 1], or (H, W) integer of at most 255.
    """
    levels = torch.round(image.detach().cpu().clamp(0, 1) * 255.0) if image.is_floating_point() else image.cpu()
    pixels = levels.to(torch.uint8).numpy()
    if pixels.ndim == 3:
        pixels = pixels[0] if pixels.shape[0] == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")


def decode_png(text: str, what: str) -> Tensor:
    """The image of a PNG file in base64, (1 or 3, H, W) float32 in [0, 1].

    Raises:
        DataError: The text is not a PNG file of grey or colour in 8 bits, or the image is too large.
    """
    try:
        file = io.BytesIO(base64.b64decode(text, validate=True))
        with Image.open(file, formats=("PNG",)) as opened:
            if opened.mode not in ("L", "RGB") or opened.width * opened.height > LARGEST:
                raise DataError(f"{what}: a stored image of mode {opened.mode}, {opened.size} is not accepted")
            pixels = np.asarray(opened)
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{what}: a stored image is damaged: {error}") from error
    tensor = torch.from_numpy(pixels.astype(np.float32) / 255.0)
    return tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1).contiguous()
