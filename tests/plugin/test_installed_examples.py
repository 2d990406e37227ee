"""The third-party path: wheels of fusekit and of the example plugins, really installed by pip, used, and removed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.paths import REPOSITORY
from tests.plugin.installation import Installation, needs_hatchling, shared_installation

EXAMPLES = REPOSITORY / "plugins" / "examples"
NAMES = ("fusekit-toyseg", "fusekit-termsearch")
pytestmark = [pytest.mark.slow, needs_hatchling]
TINY = [
    "when_missing.data.params={train: 2, val: 1, test: 1, height: 64, width: 64}",
    "evaluate.metrics=[strict.qabf]",
]
STEPS = "{max_steps: 2, batch: 2, sampling: {size: 64, stride: 64, min_contrast: 0}}"


@pytest.fixture
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = shared_installation(tmp_path_factory)
    for name in NAMES:
        made.install(EXAMPLES / name)
    yield made
    made.uninstall(*NAMES)


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
    assert "pip install plugins/examples/fusekit-toyseg" in refused.stderr
    assert "Traceback" not in refused.stderr
    again = run_recipe(installed, "fusekit-termsearch", f"when_missing.train={STEPS}")
    assert again.returncode == 0, again.stderr
    assert "toyseg" not in installed.run("fusekit", "plugins", "list").stdout
