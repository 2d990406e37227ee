"""What only a process of its own can show: broken plugins stop no command and leave no trace, torch stays out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.paths import REPOSITORY
from tests.plugin.distributions import BROKEN, install_all

pytestmark = pytest.mark.slow

RECIPE = str(REPOSITORY / "recipes" / "uaafusion_msrs.yaml")
PROGRAM = """\
import sys
from fusekit.cli.app import main
try:
    main(sys.argv[1:])
finally:
    print("torch imported:", "torch" in sys.modules, file=sys.stderr)
"""
SHORT = "{max_steps: 1, batch: 2, sampling: {size: 64, stride: 64, min_contrast: 0}}"
RUN = [
    "run",
    RECIPE,
    "-q",
    "-o",
    "when_missing.data.params={train: 2, val: 1, test: 1, height: 64, width: 64}",
    "-o",
    f"when_missing.pretrain.segmenter={SHORT}",
    "-o",
    f"when_missing.train={SHORT}",
    "-o",
    "evaluate.metrics=[strict.en]",
]
TORCH_FREE = [
    ["--help"],
    ["--version"],
    ["fuse", "--help"],
    ["plugins", "list"],
    ["plugins", "show", "uaafusion"],
    ["plugins", "known"],
    ["plugins", "doctor", "--no-imports"],
    ["plugins", "new", "mine", "--kind", "task"],
    ["validate", RECIPE],
    ["recipes", "list"],
    ["recipes", "show", "uaafusion_msrs", "--resolved"],
    ["recipes", "copy", "uaafusion_msrs", "mine.yaml"],
]
WITH_TORCH = [
    ["doctor"],
    ["fuse", "source.png", "source.png", "-o", "fused.png"],
    ["recipes", "schema"],
    ["plugins", "check", "baselines.mean"],
    RUN,
    ["weights", "show", "runs/uaafusion-msrs/model.safetensors"],
    ["explain", "runs/uaafusion-msrs", "source.png", "source.png", "-o", "explained"],
]
LOADS_NONE = ("--help", "--version", "fuse --help", "recipes list", "recipes copy")


@dataclass
class Place:
    """A folder to work in, with a home of its own and a ``site-packages`` that plugins come to and go from."""

    folder: Path

    def fusekit(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(self.folder / "site"), "COLUMNS": "80"}
        environment |= {"HOME": str(self.folder / "home"), "XDG_CACHE_HOME": str(self.folder / "home" / "cache")}
        environment.pop("FUSEKIT_PLUGINS", None)
        command = [sys.executable, "-B", "-c", PROGRAM, *words]
        work = self.folder / "work"
        return subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    def clear(self) -> None:
        for name in ("site", "home", "work"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()
        from PIL import Image

        Image.linear_gradient("L").resize((64, 64)).save(self.folder / "work" / "source.png")

    def traces(self) -> list[str]:
        """Files outside the working folder."""
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.glob("[!w]*/**/*") if p.is_file())


@pytest.fixture(scope="module")
def ruins(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """With every broken plugin at once."""
    place = Place(tmp_path_factory.mktemp("ruins"))
    place.clear()
    install_all(place.folder / "site")
    return place


@pytest.mark.parametrize("words", TORCH_FREE, ids=lambda words: " ".join(words[:2]))
def test_broken_plugins_stop_nothing_and_torch_stays_out(ruins: Place, words: list[str]) -> None:
    done = ruins.fusekit(*words)
    assert done.returncode == (3 if "doctor" in words else 0), done.stderr
    assert done.stdout
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert lines[-1] == "torch imported: False"
    told = [line for line in lines if line.startswith("plugins not loaded: ")]
    if words[0] == "plugins" or " ".join(words[:2]).startswith(LOADS_NONE):
        assert told == []
    else:
        assert len(told) == 1
        assert told[0].startswith("plugins not loaded: fusekit-badname, fusekit-badtarget, fusekit-bi")
        assert told[0].endswith(" more (fusekit plugins list shows why)")


@pytest.mark.slow
def test_commands_that_import_torch_work_too(ruins: Place) -> None:
    for words in WITH_TORCH:
        done = ruins.fusekit(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        assert done.stdout
        assert "Traceback" not in done.stderr
    assert (ruins.folder / "work" / "explained").is_dir()
    assert (ruins.folder / "work" / "runs" / "uaafusion-msrs" / "report.html").is_file()


@pytest.mark.slow
def test_removed_they_leave_no_trace(tmp_path: Path) -> None:
    """What commands say is what they said before, and nothing lies outside the working folder."""
    place = Place(tmp_path)
    said: list[dict[str, tuple[int, str]]] = []
    for broken in (False, True, False):
        place.clear()
        if broken:
            install_all(place.folder / "site")
        laid = place.traces()
        outcome = {}
        for words in (["plugins", "list"], ["plugins", "doctor", "--no-imports"], ["validate", RECIPE], ["doctor"]):
            done = place.fusekit(*words)
            outcome[" ".join(words)] = (done.returncode, done.stdout)
        said.append(outcome)
        assert place.traces() == laid
    before, among, after = said
    assert after == before
    assert [among[words] == said_before for words, said_before in before.items()] == [False, False, True, False]


def test_the_list_of_ruins_is_readable_by_programs(ruins: Place) -> None:
    done = ruins.fusekit("plugins", "list", "--json")
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
