"""The third-party path: wheels of fusekit and of the example plugins, really installed by pip, used, and removed."""

from __future__ import annotations

import importlib.util
import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.paths import REPOSITORY

EXAMPLES = REPOSITORY / "plugins" / "examples"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="building wheels needs hatchling"),
]
TINY = [
    "when_missing.data.params={train: 2, val: 1, test: 1, height: 64, width: 64}",
    "evaluate.metrics=[strict.qabf]",
]
STEPS = "{max_steps: 2, batch: 2, sampling: {size: 64, stride: 64, min_contrast: 0}}"


class Installation:
    """A virtual environment with fusekit's wheel; its libraries are those of the environment that runs the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels = folder / "wheels"
        venv.create(folder / "venv", with_pip=True)
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        # Behind its own packages, so that the installed wheel is used and not the checkout.
        own = Path(self.run("python", "-c", "import site; print(site.getsitepackages()[0])").stdout.strip())
        (own / "libraries.pth").write_text("\n".join(site.getsitepackages()) + "\n")

    def run(self, command: str, *words: object) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "FUSEKIT", "MSRS", "IVIF"))}
        environment |= {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        line = [str(self.bin / command), *map(str, words)]
        return subprocess.run(line, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def install(self, source: Path) -> None:
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*build, "--wheel-dir", str(self.wheels), str(source)], check=True)
        newest = max(self.wheels.glob("*.whl"), key=lambda wheel: wheel.stat().st_mtime)
        done = self.run("python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", newest)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    made = Installation(tmp_path_factory.mktemp("installed"))
    for source in (REPOSITORY, EXAMPLES / "fusekit-toyseg", EXAMPLES / "fusekit-termsearch"):
        made.install(source)
    return made


def run_recipe(where: Installation, name: str, *overrides: str) -> subprocess.CompletedProcess[str]:
    given = [word for override in (*TINY, *overrides) for word in ("-o", override)]
    return where.run("fusekit", "run", EXAMPLES / name / "recipe.yaml", "-q", *given)


def test_examples_are_installed_used_checked_and_removed(installed: Installation) -> None:
    listed = installed.run("fusekit", "plugins", "list")
    assert listed.returncode == 0
    for line in ("fusekit-toyseg 0.1.0", "toyseg.small", "fusekit-termsearch 0.1.0", "termsearch.evolution"):
        assert line in listed.stdout
    where = installed.run("python", "-c", "import fusekit; print(fusekit.__file__)").stdout
    assert str(installed.folder) in where

    checked = installed.run("fusekit", "plugins", "check", "toyseg", "termsearch")
    assert checked.returncode == 0, checked.stdout + checked.stderr

    toyseg = run_recipe(
        installed, "fusekit-toyseg", f"when_missing.train={STEPS}", f"when_missing.pretrain.segmenter={STEPS}"
    )
    assert toyseg.returncode == 0, toyseg.stderr
    searched = run_recipe(installed, "fusekit-termsearch", f"when_missing.train={STEPS}")
    assert searched.returncode == 0, searched.stderr
    for name in ("uaafusion-toyseg", "termsearch-ivif"):
        assert (installed.folder / "runs" / name / "report.html").is_file()

    # One is removed: what needs it says what to install, everything else goes on.
    gone = installed.run("python", "-m", "pip", "uninstall", "--quiet", "--yes", "fusekit-toyseg")
    assert gone.returncode == 0
    refused = run_recipe(installed, "fusekit-toyseg")
    assert refused.returncode == 3
    assert "fusekit-toyseg>=0.1; it is not installed" in refused.stderr
    assert "pip install 'fusekit-toyseg>=0.1'" in refused.stderr
    assert "Traceback" not in refused.stderr
    again = run_recipe(installed, "fusekit-termsearch", f"when_missing.train={STEPS}")
    assert again.returncode == 0, again.stderr
    assert "toyseg" not in installed.run("fusekit", "plugins", "list").stdout
