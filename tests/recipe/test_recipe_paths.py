"""Names in a recipe that become folders stay inside the run's folder."""

from __future__ import annotations

import pytest

from fusekit.errors import RecipeError
from tests.pipeline.small import small_recipe


@pytest.mark.parametrize("name", ["../outside", "a/b", ".hidden", ""])
def test_run_names(name: str) -> None:
    with pytest.raises(RecipeError, match=r"^name: .* does not have the form"):
        small_recipe(name)


def test_phase_names() -> None:
    phase = "{use: tasks.supervised}"
    with pytest.raises(RecipeError, match="pretrain"):
        small_recipe(pretrain="{../../x: {strategy: " + phase + "}}")
