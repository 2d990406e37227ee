"""What only a process of its own can show: broken plugins stop nothing, torch stays out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import REPOSITORY
from tests.plugin.distributions import BROKEN, install_all

RECIPE = str(REPOSITORY / "recipes" / "uaafusion_msrs.yaml")
PROGRAM = """\
import sys
from fusekit.cli.app import main
try:
    main(sys.argv[1:])
finally:
    print("torch imported:", "torch" in sys.modules, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def ruins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ruins")
    install_all(folder)
    return folder


def fusekit(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "80"}
    environment.pop("FUSEKIT_PLUGINS", None)
    command = [sys.executable, "-c", PROGRAM, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["plugins", "list"],
        ["validate", RECIPE],
        ["recipes", "list"],
        ["plugins", "show", "uaafusion"],
    ],
    ids=" ".join,
)
def test_broken_plugins_stop_nothing_and_torch_stays_out(ruins: Path, words: list[str]) -> None:
    done = fusekit(ruins, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert lines[-1] == "torch imported: False"
    expected = 1 if words[0] == "validate" else 0
    assert len(lines) == expected + 1, done.stderr
    if expected:
        assert lines[0].startswith("plugins not loaded: fusekit-badname, fusekit-badtarget, fusekit-bi")
        assert lines[0].endswith(" more (fusekit plugins list says why)")


def test_the_list_of_ruins_is_readable_by_programs(ruins: Path) -> None:
    done = fusekit(ruins, "plugins", "list", "--json")
    assert (done.returncode, done.stderr) == (0, "torch imported: False\n")
    plugins = {plugin["distribution"]: plugin for plugin in json.loads(done.stdout)}
    for namespace, broken in BROKEN.items():
        plugin = plugins[f"fusekit-{namespace}"]
        assert plugin["state"] == broken.state
        assert broken.reason in plugin["reason"]
    assert plugins["fusekit-squatter"]["state"] == "conflict"
    assert plugins["fusekit-borrower"]["state"] == "conflict"
    assert plugins["fusekit-rival-a"]["state"] == plugins["fusekit-rival-b"]["state"] == "conflict"
    assert plugins["fusekit-healthy"]["state"] == "loaded"
    assert plugins["fusekit-healthy"]["components"][0]["name"] == "healthy.net"


def test_the_module_is_a_command_too() -> None:
    command = [sys.executable, "-m", "fusekit", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("fusekit ")
