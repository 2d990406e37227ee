"""Data roots, the environment, and what happens where data is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusekit.errors import DataError, RecipeError
from fusekit.recipe.recipe import Recipe
from tests.recipe.fakes import MINIMAL, fake_registry, write

REGISTRY = fake_registry()
WHEN_MISSING = """\
when_missing:
  data: {use: fake.scenes, params: {count: 2}}
  train: {epochs: 5}
"""


def text(root: str, *, fallback: bool = False) -> str:
    made = MINIMAL.replace("{use: fake.scenes}", f"{{use: fake.folders, root: '{root}', params: {{size: 32}}}}")
    made += "train: {strategy: {use: fake.joint}, epochs: 9}\n"
    return made + (WHEN_MISSING if fallback else "")


def load(folder: Path, written: str, *overrides: str, check_data: bool = True) -> Recipe:
    return Recipe.load(write(folder, written), overrides, REGISTRY, check_data=check_data)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FAKE_ROOT", raising=False)
    (tmp_path / "full" / "ir").mkdir(parents=True)


def test_present_data_is_used_relative_to_the_working_directory(tmp_path: Path) -> None:
    recipe = load(tmp_path, text("full", fallback=True))
    assert recipe.synthetic_fallback is None
    assert recipe.data_root == Path("full")
    assert recipe.plain["data"]["use"] == "fake.folders"
    assert recipe.plain["when_missing"]["train"] == {"epochs": 5}


def test_missing_data_without_a_fallback_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, text("void"))
    assert caught.value.exit_code == 4
    assert str(caught.value) == (
        f"{tmp_path}/recipe.yaml:3:33 data.root: put the infrared images into void/ir\n"
        "give the folder of the data with -o data.root=FOLDER"
    )


def test_missing_data_with_a_fallback_is_replaced_and_said(tmp_path: Path) -> None:
    recipe = load(tmp_path, text("void", fallback=True))
    assert recipe.synthetic_fallback == "put the infrared images into void/ir"
    assert recipe.plain["data"]["use"] == "fake.scenes"
    assert recipe.plain["data"]["params"] == {"size": 64, "count": 2}
    assert recipe.model.train is not None
    assert recipe.model.train.epochs == 5
    assert recipe.plain["when_missing"] == {}
    resolved = recipe.dumps_resolved()
    assert "# when_missing was applied, because data was missing: put the infrared images" in resolved
    assert load(tmp_path, resolved) == recipe


def test_a_root_given_by_hand_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for override in ("data.root=void", "data={root: void}"):
        with pytest.raises(DataError) as caught:
            load(tmp_path, text("full", fallback=True), override)
        assert str(caught.value) == f"-o #1 ({override}) data.root: put the infrared images into void/ir"
    monkeypatch.setenv("FAKE_ROOT", "void")
    for root in ("${FAKE_ROOT}", "${FAKE_ROOT:-full}"):
        with pytest.raises(DataError, match="put the infrared images into void/ir"):
            load(tmp_path, text(root, fallback=True))


def test_environment_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(tmp_path, text("${FAKE_ROOT:-full}")).model.data.root == "full"
    fallback = load(tmp_path, text("${FAKE_ROOT:-void}", fallback=True)).synthetic_fallback
    assert fallback == "put the infrared images into void/ir"
    monkeypatch.setenv("FAKE_ROOT", str(tmp_path))
    assert load(tmp_path, text("${FAKE_ROOT}/full")).data_root == tmp_path / "full"
    monkeypatch.setenv("FAKE_ROOT", "")
    assert load(tmp_path, text("${FAKE_ROOT:-full}")).model.data.root == "full"
    with pytest.raises(RecipeError, match=r"data.root: .* neither \$\{NAME\} nor"):
        load(tmp_path, text("${not a name}"))
    assert load(tmp_path, MINIMAL + "description: ${FAKE_ROOT}\n").model.description == "${FAKE_ROOT}"


def test_unset_variable(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, text("${FAKE_ROOT}"))
    assert "environment variable FAKE_ROOT, from which data.root is read, is not set" in str(caught.value)
    assert "write ${FAKE_ROOT:-default}" in str(caught.value)
    recipe = load(tmp_path, text("${FAKE_ROOT}", fallback=True))
    assert "FAKE_ROOT" in (recipe.synthetic_fallback or "")
    assert recipe.data_root is None


def test_a_fallback_that_is_missing_too(tmp_path: Path) -> None:
    written = text("void") + "when_missing: {data: {root: elsewhere}}\n"
    with pytest.raises(DataError) as caught:
        load(tmp_path, written)
    assert "into void/ir\nthe data of when_missing is missing too: put the infrared images into elsewhere/ir" in str(
        caught.value
    )


def test_overrides_beat_the_fallback(tmp_path: Path) -> None:
    recipe = load(tmp_path, text("void", fallback=True), "train.epochs=1", "when_missing.data.params.count=7")
    assert recipe.model.train is not None
    assert recipe.model.train.epochs == 1
    assert recipe.plain["data"]["params"]["count"] == 7


def test_both_variants_are_validated_without_data(tmp_path: Path) -> None:
    recipe = load(tmp_path, text("void", fallback=True), check_data=False)
    assert recipe.synthetic_fallback == "put the infrared images into void/ir"
    assert load(tmp_path, text("void"), check_data=False).missing == "put the infrared images into void/ir"
    by_hand = load(tmp_path, text("full", fallback=True), "data.root=void", check_data=False)
    assert (by_hand.missing, by_hand.synthetic_fallback) == ("put the infrared images into void/ir", None)

    misspelt = text("full", fallback=True).replace("count: 2", "cuont: 2")
    assert load(tmp_path, misspelt).missing is None
    for overrides in ((), ("data.root=void",)):
        with pytest.raises(RecipeError) as caught:
            load(tmp_path, misspelt, *overrides, check_data=False)
        assert str(caught.value) == (
            f"{tmp_path}/recipe.yaml:8:37 data.params.cuont: dataset 'fake.scenes' has no such parameter; "
            "did you mean 'count'?\n"
            "the recipe as written is valid, but not with its when_missing block applied, as it is for missing data: "
            "change that block, or remove it with when_missing: null"
        )


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{datta: 1}", "datta: no such key; did you mean 'data'?"),
        ("{schema: 1}", "when_missing.schema: cannot be changed here"),
        ("{when_missing: {}}", "when_missing.when_missing: cannot be changed here"),
        ("[1]", "when_missing: must be a mapping, not a list"),
        ("{train: {epochs: many}}", "train.epochs: must be a whole number"),
    ],
)
def test_wrong_fallbacks(tmp_path: Path, block: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(tmp_path, text("void") + f"when_missing: {block}\n")
    assert message in str(caught.value)
    assert "recipe.yaml:7:" in str(caught.value)
