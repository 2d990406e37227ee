"""Arranging several pictures with titles on one sheet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

_MARGIN, _CAPTION = 12, 26
_PAPER, _INK = (250, 250, 250), (30, 30, 30)


def picture_grid(
    pictures: Sequence[tuple[str, Image.Image | npt.NDArray[Any]]], *, columns: int, width: int = 400
) -> Image.Image:
    """Arrange pictures in rows, all scaled to the same width, with their titles above them.

    Args:
        pictures: Titles and pictures: each an image, or (H, W) or (H, W, 3) uint8. Their sizes may differ; the height
            of a row is that of its first picture.
        columns: Number of pictures per row.
        width: Width of every picture on the sheet.
    """
    images = [(title, _image(picture)) for title, picture in pictures]
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    heights = [max(1, round(width * row[0][1].height / row[0][1].width)) for row in rows]
    tall = sum(height + _CAPTION + _MARGIN for height in heights)
    sheet = Image.new("RGB", (_MARGIN + columns * (width + _MARGIN), _MARGIN + tall), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    y = _MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, (title, image) in enumerate(row):
            x = _MARGIN + column * (width + _MARGIN)
            draw.text((x, y), title, fill=_INK, font=font)
            sheet.paste(image.resize((width, height)), (x, y + _CAPTION))
        y += height + _CAPTION + _MARGIN
    return sheet


def _image(picture: Image.Image | npt.NDArray[Any]) -> Image.Image:
    return (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).convert("RGB")
