"""Every shipped recipe is right, for us and for an editor."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from fusekit.authoring.recipe_schema import recipe_schema
from fusekit.plugin.loader import PluginPolicy, load_plugins
from fusekit.plugin.registry import Registry
from fusekit.recipe.library import SCHEMA_FILE, ShippedRecipe, list_recipes, recipes_folder
from fusekit.recipe.recipe import Recipe
from fusekit.recipe.yaml_reader import parse_recipe
from tests.plugin.distributions import install

RECIPES = list_recipes()
each = pytest.mark.parametrize("shipped", RECIPES, ids=lambda recipe: recipe.name)


SCHEMA_LINE = f"# yaml-language-server: $schema={SCHEMA_FILE}"


@cache
def schema() -> dict[str, Any]:
    """That of the built-in components, whatever else is installed here."""
    return recipe_schema(Registry(load_plugins(PluginPolicy(third_party=False))))[0]


def complaints(text: str, described: dict[str, Any]) -> list[str]:
    plain = parse_recipe(text, "recipe").plain()
    errors = Draft7Validator(described).iter_errors(plain)
    return sorted(f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in errors)


@each
def test_it_validates(shipped: ShippedRecipe) -> None:
    recipe = Recipe.load(shipped.path, check_data=False)
    assert recipe.model.description
    assert shipped.header, "the first comment says how to run it and what it needs"


@each
def test_resolved_it_loads_back_equal(shipped: ShippedRecipe) -> None:
    recipe = Recipe.load(shipped.path, check_data=False)
    assert Recipe.from_dict(recipe.plain, check_data=False) == recipe


@each
def test_it_follows_the_schema(shipped: ShippedRecipe) -> None:
    text = shipped.path.read_text("utf-8")
    assert text.startswith(SCHEMA_LINE + "\n"), "its first line tells editors where its schema is"
    assert complaints(text, schema()) == []


def test_the_schema_beside_them_is_of_today() -> None:
    stored = json.loads((recipes_folder() / SCHEMA_FILE).read_text("utf-8"))
    assert stored == schema(), f"run: fusekit --no-plugins recipes schema --out recipes/{SCHEMA_FILE}"


def test_a_broken_one_is_told_so_field_by_field() -> None:
    text = next(r for r in RECIPES if r.name == "uaafusion_msrs").path.read_text("utf-8")
    broken = text.replace("seed: 1\n", "seed: one\n").replace("  use: data.msrs", "  use: data.mrss")
    broken = broken.replace("\ntrain:\n", "\ntrain:\n  epoch: 3\n")
    data, seed, train = complaints(broken, schema())
    assert data.startswith("data.use: 'data.mrss' is not one of ['data.collection', 'data.msrs'")
    assert seed == "seed: 'one' is not of type 'integer'"
    assert train == "train: Additional properties are not allowed ('epoch' was unexpected)"


def test_parameters_of_an_installed_plugin_are_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "fusekit-stranger")
    monkeypatch.syspath_prepend(tmp_path)
    known = Registry(load_plugins(PluginPolicy(only=frozenset({"stranger"}))))
    monkeypatch.delitem(sys.modules, "fusekit_stranger")
    described, notes = recipe_schema(known)
    assert notes == []
    text = "schema: 1\nextends: a\nmodel: {backbone: {use: stranger.net, params: {width: %s}}}\n"
    assert complaints(text % 4, described) == []
    assert complaints(text % 0, described) == ["model.backbone.params.width: 0 is less than the minimum of 1"]
    assert "model.backbone.use: 'stranger.net' is not one of" in complaints(text % 4, schema())[0]
