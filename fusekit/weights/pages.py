"""What is written about a model file: its metadata as JSON, its model card with a picture, and its recipe."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fusekit.errors import UsageError
from fusekit.files import write_atomically, write_text
from fusekit.recipe.model_card import read_card
from fusekit.weights.card_page import card_page, picture_name
from fusekit.weights.listing import count_parameters
from fusekit.weights.release import Verification, require_release

_LONGEST = 400


def metadata_json(file: Path) -> str:
    """The metadata of a model file as JSON; images and other long texts are replaced by their length.

    Raises:
        DataError: The file is not a model file.
    """
    return json.dumps(_shortened(asdict(read_card(file))), indent=2)


def card_text(name: str, file: Path, picture: str | None = None) -> str:
    """The model card of a model file in Markdown.

    Args:
        name: How a user names the weights: the name of shipped weights, or the name of the file.
        file: The file.
        picture: File name of a picture for the card.

    Raises:
        DataError: The file is not a model file with the facts of released weights.
    """
    card = read_card(file)
    facts = require_release(card, file)
    title, size = name.removesuffix(".safetensors"), file.stat().st_size
    return card_page(name, card, facts, title=title, size=size, parameters=count_parameters(file), picture=picture)


def write_card(name: str, file: Path, out: Path, *, overwrite: bool = False) -> None:
    """Writes the model card, and next to it a picture of the verification pair.

    Raises:
        UsageError: A file exists, or `out` does not end in .md.
        DataError: As `card_text`.
        RunError: A file cannot be written.
    """
    if out.suffix != ".md":
        raise UsageError(f"{out}: the name of a model card must end in .md")
    picture = out.with_name(picture_name(out))
    _refuse_existing(overwrite, out, picture)
    text = card_text(name, file, picture.name)
    image = _strip(require_release(read_card(file), file).verification, file)
    write_atomically(picture, lambda temporary: image.save(temporary, format="PNG"))
    write_text(out, text)


def recipe_text(name: str, file: Path) -> str:
    """The recipe with which the weights of a model file were trained, as YAML.

    Raises:
        DataError: As `card_text`.
    """
    facts = require_release(read_card(file), file)
    head = [f"# Recipe of the weights {name!r}, from their model file: every default is filled in.".replace("\n", " ")]
    if not facts.data.synthetic:
        head.append("# Run: fusekit run THIS_FILE -o data.root=FOLDER")
    return "\n".join([*head, facts.recipe])


def write_recipe(name: str, file: Path, out: Path, *, overwrite: bool = False) -> None:
    """Writes the recipe of a model file.

    Raises:
        UsageError: `out` exists.
        DataError: As `card_text`.
        RunError: The file cannot be written.
    """
    _refuse_existing(overwrite, out)
    write_text(out, recipe_text(name, file))


def _refuse_existing(overwrite: bool, *files: Path) -> None:
    for file in files:
        if file.exists() and not overwrite:
            raise UsageError(f"{file} exists", hint="--overwrite replaces it")


def _shortened(plain: Any) -> Any:
    if isinstance(plain, dict):
        return {key: _shortened(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_shortened(value) for value in plain]
    return f"({len(plain):,} characters)" if isinstance(plain, str) and len(plain) > _LONGEST else plain


def _strip(verification: Verification, file: Path) -> Image.Image:
    """The sources and the fused image side by side."""
    from fusekit.weights.png_text import decode_png  # imports torch

    pictures = [decode_png(text, str(file)) for text in (*verification.sources.values(), verification.fused)]
    height = min(picture.shape[1] for picture in pictures)
    pixels = [(picture.expand(3, -1, -1)[:, :height] * 255).round().byte().numpy() for picture in pictures]
    return Image.fromarray(np.ascontiguousarray(np.concatenate(pixels, axis=2).transpose(1, 2, 0)))
