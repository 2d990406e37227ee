"""Several pictures with their titles on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from fusekit.evaluation.report.data import Picture

_MARGIN, _CAPTION, _WIDTH = 12, 26, 400


def contact_sheet(pictures: Sequence[Picture], *, columns: int) -> Image.Image:
    """Lays pictures out in rows, each scaled to one width, with its title above.

    Args:
        pictures: All of one size.
        columns: Pictures in a row.
    """
    height, width = pictures[0].image.shape[:2]
    tall = round(_WIDTH * height / width)
    rows = -(-len(pictures) // columns)
    sheet = Image.new(
        "RGB",
        (_MARGIN + columns * (_WIDTH + _MARGIN), _MARGIN + rows * (tall + _CAPTION + _MARGIN)),
        (250, 250, 250),
    )
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(16)
    for index, picture in enumerate(pictures):
        x = _MARGIN + (index % columns) * (_WIDTH + _MARGIN)
        y = _MARGIN + (index // columns) * (tall + _CAPTION + _MARGIN)
        draw.text((x, y), picture.title, fill=(30, 30, 30), font=font)
        image = Image.fromarray(picture.image).convert("RGB").resize((_WIDTH, tall))
        sheet.paste(image, (x, y + _CAPTION))
    return sheet
