"""`fusekit recipes …`, `fusekit validate` and the shipped recipes behind them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fusekit.cli import options as cli_options
from fusekit.cli import recipes as commands
from fusekit.errors import RecipeError, UsageError
from fusekit.recipe import library
from fusekit.recipe import recipe as recipe_module
from tests.recipe.fakes import MINIMAL, fake_registry, write

HEADER = "# yaml-language-server: $schema=x\n# Run:  fusekit run quick\n# Needs nothing.\n\n# another block\n"
RUNNER = CliRunner()
APP = typer.Typer()
APP.add_typer(commands.app, name="recipes")
APP.command("validate")(commands.validate)


@pytest.fixture(autouse=True)
def _shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = fake_registry()
    monkeypatch.setattr(library, "recipes_folder", lambda: tmp_path / "shipped")
    monkeypatch.setattr(commands, "registry", lambda: registry)
    monkeypatch.setattr(cli_options, "registry", lambda: registry)
    monkeypatch.setattr(recipe_module, "installed", lambda: registry)
    monkeypatch.chdir(tmp_path)
    write(tmp_path, HEADER + MINIMAL, "shipped/quick.yaml")
    write(tmp_path, "schema: 1\nextends: base/part.yaml\nname: child\n", "shipped/child.yaml")
    write(tmp_path, MINIMAL + "seed: 3\n", "shipped/base/part.yaml")


def run(*arguments: str) -> str:
    done = RUNNER.invoke(APP, list(arguments))
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_list() -> None:
    assert run("recipes", "list") == "child\nquick  Run:  fusekit run quick\n"
    rows = json.loads(run("recipes", "list", "--json"))
    assert [row["name"] for row in rows] == ["child", "quick"]
    assert rows[1]["header"] == "Run:  fusekit run quick\nNeeds nothing."


def test_show(tmp_path: Path) -> None:
    assert run("recipes", "show", "quick") == HEADER + MINIMAL
    resolved = run("recipes", "show", "child", "--resolved", "-o", "fuse.limit=2")
    assert "seed: 3\n" in resolved
    assert "limit: 2" in resolved
    with pytest.raises(UsageError, match="has an effect only with --resolved"):
        run("recipes", "show", "child", "-o", "seed=1")


def test_names_and_paths() -> None:
    assert library.find_recipe("quick").name == "quick.yaml"
    assert library.find_recipe("quick.yaml").name == "quick.yaml"
    assert library.find_recipe("shipped/child.yaml") == Path("shipped/child.yaml")
    for wrong in ("quik", "elsewhere/quik.yaml"):
        with pytest.raises(RecipeError, match="did you mean 'quick'"):
            library.find_recipe(wrong)
    with pytest.raises(RecipeError, match="is a folder"):
        library.find_recipe("shipped")
    assert library.list_recipes(Path("absent")) == []


def test_copy_stamps_and_refuses_to_overwrite(tmp_path: Path) -> None:
    assert run("recipes", "copy", "quick") == "quick.yaml\n"
    first, _, rest = (tmp_path / "quick.yaml").read_text().partition("\n")
    assert first.startswith("# Copied from quick of image-fusekit ")
    assert rest == HEADER + MINIMAL
    with pytest.raises(UsageError, match=r"quick\.yaml exists and is not overwritten"):
        run("recipes", "copy", "quick")
    (tmp_path / "mine").mkdir()
    run("recipes", "copy", "child", "mine")
    assert "seed: 3" in run("recipes", "show", "mine/child.yaml", "--resolved")
    with pytest.raises(UsageError, match="cannot be written"):
        run("recipes", "copy", "quick", "no/such/folder.yaml")


def test_schema(tmp_path: Path) -> None:
    assert json.loads(run("recipes", "schema"))["title"] == "fusekit recipe"
    run("recipes", "schema", "--out", "schema.json")
    assert "definitions" in json.loads((tmp_path / "schema.json").read_text())


def test_validate(tmp_path: Path) -> None:
    text = MINIMAL.replace("{use: fake.scenes}", "{use: fake.folders, root: void}")
    write(tmp_path, text + "  task: {use: fake.segmenter}\ntrain: {strategy: {use: fake.joint}}\n", "mine.yaml")
    assert run("validate", "mine.yaml") == (
        "ok: small\n"
        "  data: fake.folders in void\n"
        "  data missing: put the infrared images into void/ir\n"
        "  model: backbone fake.unfolding, task fake.segmenter\n"
        "  training: train with fake.joint\n"
        "  evaluation: 10 metrics, 4 baselines\n"
    )
    write(tmp_path, text + "when_missing: {data: {use: fake.scenes}}\n", "mine.yaml")
    assert "when_missing applies: put the infrared" in run("validate", "mine.yaml")
    with pytest.raises(RecipeError, match=r"-o #1 \(sed=1\) sed: no such key; did you mean 'seed'"):
        run("validate", "mine.yaml", "-o", "sed=1")


def test_validate_with_a_local_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        from fusekit.interfaces.config import ComponentConfig, Field
        from fusekit.plugin import component, hookimpl

        class Config(ComponentConfig):
            width: int = Field(3, description="width")

        @hookimpl
        def fusekit_components():
            return [component("backbone", "local.mine", target="fusekit_local_parts:Mine", summary="mine",
                              config="fusekit_local_parts:Config")]
        """,
        "parts.py",
    )
    write(tmp_path, MINIMAL.replace("fake.unfolding", "local.mine, params: {width: 5}"), "mine.yaml")
    with pytest.raises(RecipeError, match=r"no backbone named 'local\.mine'"):
        run("validate", "mine.yaml")
    assert "backbone local.mine" in run("validate", "mine.yaml", "--with", "parts.py")


def test_header_comment() -> None:
    assert library.header_comment("a: 1\n# later\n") == ""
    assert library.header_comment("\n# first\n#\n# second\na: 1\n") == "first\n\nsecond"
