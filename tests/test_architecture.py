"""The drawing of the architecture shows the layers and plugins that the import contract names."""

from __future__ import annotations

import re

import pytest

from tests.paths import REPOSITORY

tomllib = pytest.importorskip("tomllib", reason="reading TOML needs Python 3.11")


def test_the_drawing_matches_the_import_contract() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    drawn = (REPOSITORY / "docs" / "images" / "architecture.svg").read_text("utf-8")
    groups = [line.replace("fusekit.", "").split(" | ") for line in project["contracts"][0]["layers"][:-2]]
    layers = [names[0] for names in groups if len(names) == 1]
    wings = [name for names in groups if len(names) > 1 for name in names]
    assert re.findall(r'class="layer">(\w+)<', drawn) == layers
    assert re.findall(r'class="wing">(\w+)<', drawn) == wings
    assert sorted(re.findall(r'class="plugin">(\w+)<', drawn)) == sorted(set(project["root_packages"]) - {"fusekit"})
    page = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")
    described = re.findall(r"^\| `fusekit/(\w+)`", page, re.M)
    assert described[: len(layers)] == layers[::-1]
    assert sorted(described[len(layers) :]) == sorted(wings)
