"""The drawing of the architecture shows the layers and plugins that the import contract names."""

from __future__ import annotations

import re

import pytest

from tests.paths import REPOSITORY

tomllib = pytest.importorskip("tomllib", reason="reading TOML needs Python 3.11")


def test_the_drawing_matches_the_import_contract() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    drawn = (REPOSITORY / "docs" / "images" / "architecture.svg").read_text("utf-8")
    layers = [name.removeprefix("fusekit.") for name in project["contracts"][0]["layers"] if "|" not in name]
    assert re.findall(r'class="layer">(\w+)<', drawn) == layers
    assert sorted(re.findall(r'class="plugin">(\w+)<', drawn)) == sorted(set(project["root_packages"]) - {"fusekit"})
    page = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
    assert re.findall(r"^\| `fusekit/(\w+)`", page, re.M) == layers[::-1]
