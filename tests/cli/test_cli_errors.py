"""Exit codes, errors without tracebacks, switches for plugins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fusekit.cli import plugins as plugin_commands
from tests.paths import REPOSITORY
from tests.plugin.distributions import BROKEN, install

RECIPE = REPOSITORY / "recipes" / "uaafusion_msrs.yaml"
MINE = """\
schema: 1
name: mine
data: {{use: {data}}}
model:
  backbone: {{use: {backbone}}}
"""

Call = Callable[..., Any]


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small recipe."""

    def write(backbone: str = "baselines.mean", data: str = "scenes.streets") -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(MINE.format(backbone=backbone, data=data))
        return path

    return write


def test_success(fusekit: Call, recipe: Callable[..., Path]) -> None:
    helped = fusekit("--help")
    assert helped.code == 0
    for word in ("--no-plugins", "no:NAME", "--debug", "validate", "plugins", "weights", "doctor"):
        assert word in helped.out
    assert fusekit("--version").out.startswith("fusekit 0.")
    done = fusekit("validate", recipe())
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("ok: mine\n")
    assert fusekit("validate", RECIPE).code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["doctr"], "Did you mean 'doctor'?"),
        (["--bogus", "doctor"], "No such option: --bogus"),
        (["plugins", "list", "--kid"], "--kind"),
        (["plugins", "list", "--kind", "moon"], "kinds are backbone, loss-proposer"),
        (["plugins", "show"], "Missing argument"),
        (["-p", "uaafusion", "plugins", "list"], "write -p no:NAME"),
        (["-p", "no:", "plugins", "list"], "write -p no:NAME"),
        (["run", "r.yaml", "--stage", "brew"], "brew"),
        (["validate", "absent.yaml"], "absent.yaml: no such file"),
        (["weights", "import", "uaafusion", "w.pth"], "Missing option"),
    ],
)
def test_wrong_usage_is_2(fusekit: Call, words: list[str], message: str) -> None:
    done = fusekit(*words)
    assert done.code == 2
    assert message in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err
    assert "internal error" not in done.err


def test_a_wrong_recipe_is_2(fusekit: Call, recipe: Callable[..., Path]) -> None:
    done = fusekit("validate", recipe(backbone="baselines.maen"))
    assert (done.code, done.out) == (2, "")
    assert "mine.yaml:5:19 model.backbone.use: no backbone named 'baselines.maen'" in done.err
    assert "did you mean 'baselines.mean'?" in done.err
    assert "-o train.epochs=5" not in done.err
    assert fusekit("validate", recipe(), "-o", "sed=1").code == 2


def test_a_broken_plugin_that_a_recipe_needs_is_3(fusekit: Call, recipe: Callable[..., Path], site: Path) -> None:
    BROKEN["noimport"].install(site, "noimport")
    done = fusekit("validate", recipe(backbone="noimport.net"))
    assert done.code == 3
    error = done.err.splitlines()[1]  # after the line about plugins that did not load
    assert error.startswith("error: ")
    assert error.endswith(
        "no backbone 'noimport.net': plugin 'noimport' of fusekit-noimport is broken: "
        "ModuleNotFoundError: No module named 'brick'"
    )
    assert "fusekit plugins show noimport" in done.err
    assert "Traceback" not in done.err


def test_missing_data_is_4(fusekit: Call, recipe: Callable[..., Path], tmp_path: Path) -> None:
    done = fusekit("run", recipe(data="data.msrs"), "-o", "data.root=void", "--runs", tmp_path / "runs")
    assert done.code == 4
    assert "void/train/ir/NAME.png" in done.err
    assert not (tmp_path / "runs").exists()


def test_debug_shows_the_traceback_wherever_it_stands(fusekit: Call) -> None:
    plain = fusekit("plugins", "show", "absent")
    assert (plain.code, plain.err.splitlines()[0]) == (3, "error: no plugin 'absent'")
    assert "Traceback" not in plain.err
    for words in (("--debug", "plugins", "show", "absent"), ("plugins", "show", "absent", "--debug")):
        done = fusekit(*words)
        assert (done.code, "Traceback" in done.err) == (3, True)
        assert done.err.endswith(plain.err)


def test_an_internal_error_is_1(fusekit: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("odd [red]text[/]")

    monkeypatch.setattr(plugin_commands, "registry", fail)
    done = fusekit("plugins", "list")
    assert done.code == 1
    assert done.err.splitlines() == [
        "internal error: RuntimeError: odd [red]text[/]",
        "--debug shows the traceback; please report it",
    ]
    assert "Traceback" in fusekit("plugins", "list", "--debug").err


def test_ctrl_c_is_130(fusekit: Call, site: Path) -> None:
    install(site, "fusekit-patient", "raise KeyboardInterrupt")
    done = fusekit("plugins", "list")
    assert (done.code, done.err) == (130, "interrupted\n")


def test_plugins_can_be_switched_off(
    fusekit: Call, recipe: Callable[..., Path], site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "fusekit-toy")
    used = recipe(backbone="toy.net")

    def refusal(*options: str) -> str:
        done = fusekit(*options, "validate", used)
        assert done.code == (3 if done.err else 0)
        return " ".join(done.err.split())

    assert refusal() == ""
    assert "is disabled: switched off with -p no:toy" in refusal("-p", "no:toy")
    assert "is disabled: switched off with --no-plugins" in refusal("--no-plugins")
    assert refusal("-p", "no:uaafusion", "-p", "no:tasks") == ""
    monkeypatch.setenv("FUSEKIT_PLUGINS", "other")
    assert "is disabled: not listed in FUSEKIT_PLUGINS" in refusal()
    monkeypatch.setenv("FUSEKIT_PLUGINS", "other,toy")
    assert refusal() == ""
    assert "is disabled" in refusal("--no-plugins")


def test_a_built_in_can_be_switched_off(fusekit: Call) -> None:
    done = fusekit("-p", "no:uaafusion", "validate", RECIPE)
    assert done.code == 3
    assert "plugin 'uaafusion' of image-fusekit is disabled: switched off with -p no:uaafusion" in done.err
    listed = fusekit("-p", "no:uaafusion", "plugins", "list").out
    assert "uaafusion disabled image-fusekit" in " ".join(listed.split())
    assert "uaafusion.unfolding" not in listed


def test_a_misspelt_switch_is_mentioned(fusekit: Call) -> None:
    done = fusekit("-p", "no:uafusion", "plugins", "list")
    assert (done.code, done.err) == (0, "-p no:uafusion: no such plugin; did you mean 'uaafusion'?\n")


def test_one_line_about_plugins_that_did_not_load(fusekit: Call, recipe: Callable[..., Path], site: Path) -> None:
    for name in ("noimport", "oldapi"):
        BROKEN[name].install(site, name)
    install(site, "fusekit-off")
    line = "plugins not loaded: fusekit-noimport, fusekit-oldapi (fusekit plugins list shows why)\n"
    used = recipe()
    assert fusekit("-p", "no:off", "validate", used).err == line
    assert fusekit("validate", used, "-o", "sed=1").err.startswith(line)
    assert fusekit("-p", "no:oldapi", "validate", used).err.startswith("plugins not loaded: fusekit-noimport (")
    assert fusekit("--no-plugins", "validate", used).err == ""
    assert fusekit("--help").err == ""
    assert fusekit("-p", "no:off", "plugins", "list").err == ""


def test_local_components(fusekit: Call, recipe: Callable[..., Path], tmp_path: Path) -> None:
    used = recipe(backbone="local.net")
    file = tmp_path / "net.py"
    assert fusekit("validate", used, "--with", file).code == 2  # no such file
    file.write_text("def def")
    done = fusekit("validate", used, "--with", file)
    assert done.code == 3
    assert "net.py: SyntaxError: invalid syntax (net.py, line 1)" in done.err
    assert "fix the file; --debug shows the traceback" in done.err
    assert "def def" not in done.err
    assert "def def" in fusekit("validate", used, "--with", file, "--debug").err
    file.write_text(
        "from fusekit.interfaces.config import ComponentConfig as Config\n"
        "from fusekit.plugin import component, hookimpl\n"
        "@hookimpl\ndef fusekit_components():\n"
        "    return [component('backbone', 'local.net', target=f'{__name__}:Net', summary='mine',\n"
        "                      config=f'{__name__}:Config')]\n"
    )
    done = fusekit("validate", used, "--with", file)
    assert (done.code, done.err) == (0, "")
    assert "backbone local.net" in done.out
    assert fusekit("validate", used).code == 2  # the file was for that command only
