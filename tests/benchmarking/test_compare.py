"""Comparisons: the benchmark that follows from runs, models and folders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fusekit.benchmarking.compare import comparison
from fusekit.benchmarking.store import Store
from fusekit.benchmarking.workbench import Workbench
from fusekit.errors import UsageError
from fusekit.model.assembly import build_dataset
from fusekit.recipe.recipe import Recipe

RECIPE = """
schema: 1
name: rendered
seed: 7
data: {use: scenes.streets, params: {test: 1, height: 32, width: 48}}
model: {backbone: {use: baselines.mean}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "rendered.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_rendered_scenes_are_those_that_the_recipe_fuses(recipe: Path, tmp_path: Path) -> None:
    file = comparison(["laplacian"], data=str(recipe))
    bench = Workbench(file, Store(tmp_path / "cache"), torch.device("cpu"))
    wanted = build_dataset(Recipe.load(recipe), "test")[0]
    found = bench.read(file.datasets[0].name, 0)
    assert all(torch.equal(a, b) for a, b in zip(found.images, wanted.images, strict=True))
    other = build_dataset(Recipe.load(recipe, ["seed=0"]), "test")[0]
    assert not torch.equal(found.images[0], other.images[0])


def test_methods_of_one_name_are_named_with_their_paths(recipe: Path, other: Path, tmp_path: Path) -> None:
    again = tmp_path / "again" / other.name
    again.parent.mkdir()
    again.symlink_to(other)
    with pytest.raises(UsageError, match=f"{other} and {again} have one name, {other.name}"):
        comparison([str(other), str(again)], data=str(recipe))
    file = comparison([str(other), f"second={again}"], data=str(recipe))
    assert [method.printed for method in file.model.methods] == [other.name, "second"]
