"""The model card and the recipe of a packed file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import fusekit as library
from fusekit.weights.card_page import text
from fusekit.weights.pages import card_text
from tests.weights.runs import FUSION
from tests.weights.test_verification import changed

Call = Callable[..., Any]


def test_the_card_states_the_facts(tiny: Path) -> None:
    page = card_text("tiny", tiny)
    for line in (
        "# tiny",
        "- Task: infrared-visible",
        "- Sources, in this order: infrared, visible",
        "- Backbone: `refusion.network`",
        "- Licence: Apache-2.0",
        "- Time: 61 s",
        "- Trained for tests only.",
        "$ fusekit run recipe.yaml",
        "| method | SSIM (strict) ↑ † | EN (strict) ↑ | CC (strict) ↓ |",
        "| **tiny** | 1.25 | **6.5** | **0.5** |",
        "| mean | **1.5** | 5.5 |  |",
        "| **tiny** | **0.75** |",
    ):
        assert line in page.splitlines(), line


def test_a_picture_stands_beside_the_page(tiny: Path, tmp_path: Path, fusekit: Call) -> None:
    page = tmp_path / "card.md"
    assert fusekit("weights", "card", tiny, "-o", page).code == 0
    assert "(card.png)" in page.read_text("utf-8")
    with Image.open(tmp_path / "card.png") as picture:
        assert picture.size == (3 * 128, 96)
    again = fusekit("weights", "card", tiny, "-o", page)
    assert again.code == 2
    assert "exists" in again.err
    assert fusekit("weights", "card", tiny, "-o", page, "--overwrite").code == 0
    assert fusekit("weights", "card", tiny, "-o", tmp_path / "card.txt").code == 2


def test_texts_of_a_file_have_no_effect_on_the_page(tiny: Path, tmp_path: Path) -> None:
    hostile = "x <script>alert(1)</script> [a](http://b) | **c** `d`\n\n# e \x1b[31m"

    def change(facts: dict[str, Any]) -> None:
        facts.update(summary=hostile, licence=hostile, limits=[hostile], notes=[hostile], task=hostile)
        facts["data"].update(name=hostile, labels=hostile, note=hostile, members={hostile: 1})
        facts["tables"][0].update(subset=hostile, note=hostile)
        facts["tables"][0]["methods"][1].update(name=hostile)
        facts["training"].update(device=hostile, versions={hostile: hostile})

    file = changed(tiny, tmp_path / "x.safetensors", change)
    ours, theirs = card_text("tiny", tiny).splitlines(), card_text("tiny", file).splitlines()
    assert len(theirs) == len(ours) + 2  # a note, and the members
    page = "\n".join(theirs)
    assert "<script" not in page
    assert "\x1b" not in page
    assert not re.search(r"(?<!\\)\[a", page)
    assert not re.search(r"(?<!\\)`d", page)
    table = [line for line in theirs if line.startswith("| x")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in table)


@pytest.mark.parametrize(
    ("given", "written"),
    [("a_b*c", r"a\_b\*c"), ("- a", r"\- a"), ("1. a", r"1\. a"), ("0.1.0", "0.1.0"), ("a<b & c", "a&lt;b &amp; c")],
)
def test_escaping(given: str, written: str) -> None:
    assert text(given) == written


def test_the_recipe_trains_again(tiny: Path, tmp_path: Path, fusekit: Call) -> None:
    out = tmp_path / "again.yaml"
    assert fusekit("weights", "recipe", tiny, "-o", out).code == 0
    assert library.Recipe.load(out).plain == library.Recipe.from_dict(FUSION).plain
    assert fusekit("validate", out).code == 0
    assert fusekit("weights", "recipe", tiny, "-o", out).code == 2
    assert "baselines.fixed" in fusekit("weights", "recipe", tiny).out


def test_show_leaves_out_images(tiny: Path, fusekit: Call) -> None:
    done = fusekit("weights", "show", tiny)
    assert done.code == 0
    assert len(done.out) < 20_000
    assert re.search(r'"fused": "\([\d,]+ characters\)"', done.out)
