"""The catalogue of known plugins: its entries are true, and a recipe that needs one says what to install."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fusekit.errors import PluginError
from fusekit.interfaces.kinds import KINDS
from fusekit.plugin.catalogue import catalogue, provider
from fusekit.plugin.loader import PluginPolicy, load_plugins
from fusekit.plugin.registry import Registry
from fusekit.recipe.recipe import Recipe
from tests.paths import REPOSITORY

tomllib = pytest.importorskip("tomllib", reason="reading TOML needs Python 3.11")
EXAMPLES = sorted((REPOSITORY / "plugins" / "examples").glob("*/pyproject.toml"))


def registry() -> Registry:
    return Registry(load_plugins(PluginPolicy(third_party=False)))


@pytest.mark.parametrize("project", EXAMPLES, ids=lambda path: path.parent.name)
def test_every_example_is_in_it_as_it_is(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = tomllib.loads(project.read_text("utf-8"))["project"]
    ((namespace, module),) = declared["entry-points"]["fusekit"].items()
    known = catalogue()[namespace]
    assert known.distribution == declared["name"]
    assert known.install == f"pip install {project.parent.relative_to(REPOSITORY).as_posix()}"

    monkeypatch.syspath_prepend(project.parent)
    monkeypatch.delitem(sys.modules, module, raising=False)
    specs = __import__(module).fusekit_components()
    assert known.kinds == tuple(sorted({spec.kind for spec in specs}))
    assert {spec.namespace for spec in specs} == {namespace}


def test_entries_are_well_formed() -> None:
    own = {report.namespace for report in registry().reports}
    for namespace, known in catalogue().items():
        assert namespace not in own
        assert set(known.kinds) <= set(KINDS)
        assert known.install.startswith("pip install ")
        assert provider(known.distribution) is known
    assert provider("fusekit-of-a-stranger") is None


def test_a_missing_component_says_what_to_install() -> None:
    with pytest.raises(PluginError, match="plugin 'toyseg' is not installed; fusekit-toyseg provides it") as caught:
        registry().find("task", "toyseg.small")
    assert caught.value.hint == "pip install plugins/examples/fusekit-toyseg (in a checkout of fusekit)"
    with pytest.raises(PluginError, match=r"no task named .strange\.small") as stranger:
        registry().find("task", "strange.small")
    assert "pip" not in str(stranger.value.hint)


def test_so_does_a_recipe_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("schema: 1\nextends: uaafusion_msrs\nmodel:\n  task: {use: toyseg.small, params: null}\n", "utf-8")
    with pytest.raises(PluginError) as caught:
        Recipe.load(file, check_data=False)
    assert caught.value.exit_code == 3
    assert caught.value.message.startswith(f"{file}:4:15 model.task.use: no task named 'toyseg.small': plugin")
    assert "plugins/examples/fusekit-toyseg" in str(caught.value.hint)
