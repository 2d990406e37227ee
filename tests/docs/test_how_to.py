"""The how-to pages, followed literally with fusekit's wheel and the example `fusekit-toyseg` installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.literal import Reader
from tests.docs.rendered import write_msrs
from tests.paths import REPOSITORY
from tests.plugin.installation import Installation, needs_hatchling, shared_installation

PAGES = sorted((REPOSITORY / "docs" / "how-to").glob("*.md"))
pytestmark = [pytest.mark.slow, needs_hatchling]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = shared_installation(tmp_path_factory)
    made.install(REPOSITORY / "plugins" / "examples" / "fusekit-toyseg")
    yield made
    made.uninstall("fusekit-toyseg")


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_how_to(page: Path, installation: Installation, tmp_path: Path) -> None:
    write_msrs(tmp_path / "scans")
    for split in ("train", "test"):
        for old, new in (("ir", "thermal"), ("vi", "rgb"), ("Segmentation_labels", "masks")):
            os.rename(tmp_path / "scans" / split / old, tmp_path / "scans" / split / new)
    reader = Reader(tmp_path, installation.environment())
    reader.follow(page)
    assert reader.ran
