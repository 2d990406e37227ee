"""Every shipped recipe is right, for us and for an editor."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from fusekit.plugin.registry import registry
from fusekit.recipe.jsonschema import recipe_schema
from fusekit.recipe.library import ShippedRecipe, list_recipes
from fusekit.recipe.recipe import Recipe
from fusekit.recipe.yaml12 import read_yaml

RECIPES = list_recipes()
each = pytest.mark.parametrize("shipped", RECIPES, ids=lambda recipe: recipe.name)


@cache
def schema() -> dict[str, Any]:
    return recipe_schema(registry())[0]


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
    _, node = read_yaml(shipped.path)
    wrong = [f"{list(e.absolute_path)}: {e.message}" for e in Draft7Validator(schema()).iter_errors(node.plain())]
    assert wrong == []
