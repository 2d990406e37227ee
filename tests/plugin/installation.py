"""Virtual environments with fusekit's real wheel, as a user's are; nothing is fetched from anywhere."""

from __future__ import annotations

import functools
import importlib.util
import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.paths import REPOSITORY

needs_hatchling = pytest.mark.skipif(
    importlib.util.find_spec("hatchling") is None, reason="building wheels needs hatchling"
)
_NOT_INHERITED = ("PYTHON", "PYTEST", "PIP_", "FUSEKIT", "MSRS", "IVIF", "VIRTUAL_ENV")
_OFFLINE_PIP = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",  # the libraries are there, but not where pip would put them
    "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it the wrong way round: 0 is --no-build-isolation
}


class Installation:
    """A virtual environment with fusekit's wheel; its libraries are those of the environment that runs the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=True)
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        # Behind its own packages, so that the installed wheel is used and not the checkout.
        own = Path(self.run("python", "-c", "import site; print(site.getsitepackages()[0])").stdout.strip())
        (own / "libraries.pth").write_text("\n".join(site.getsitepackages()) + "\n")
        self.install(REPOSITORY)

    def environment(self) -> dict[str, str]:
        """Variables of a shell in which the environment is active, and pip asks no index."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
        path = os.pathsep.join([str(self.bin), os.environ.get("PATH", "")])
        return kept | _OFFLINE_PIP | {"PATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "NO_COLOR": "1"}

    def run(self, command: str, *words: object) -> subprocess.CompletedProcess[str]:
        """Runs a command of the environment in its folder."""
        line = [str(self.bin / command), *map(str, words)]
        return subprocess.run(
            line, cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False
        )

    def install(self, source: Path) -> None:
        """Builds a wheel of a source tree, and installs it."""
        wheels = self.folder / "wheels"
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*build, "--wheel-dir", str(wheels), str(source)], check=True)
        newest = max(wheels.glob("*.whl"), key=lambda wheel: wheel.stat().st_mtime)
        done = self.run("python", "-m", "pip", "install", "--quiet", newest)
        assert done.returncode == 0, done.stderr

    def uninstall(self, *distributions: str) -> None:
        """Removes distributions; those that are not there are passed over."""
        done = self.run("python", "-m", "pip", "uninstall", "--quiet", "--yes", *distributions)
        assert done.returncode == 0, done.stderr


def shared_installation(factory: pytest.TempPathFactory) -> Installation:
    """One per process that runs tests. Who installs something into it takes it out again."""
    return _made_once(factory.getbasetemp() / "installed")


@functools.cache
def _made_once(folder: Path) -> Installation:
    folder.mkdir()
    return Installation(folder)
