"""A packed model file that all tests of a session share, and a plugin that ships it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.weights.runs import packed

Ship = Callable[..., Path]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed model file; tests must not change it."""
    return packed(tmp_path_factory.mktemp("packed"), half=True).out


@pytest.fixture
def ship(site: Path, tiny: Path) -> Ship:
    """Installs a plugin package that ships the tiny file under one or more names."""

    def install(*entries: str, namespace: str = "ship", file: str = "files/tiny.safetensors", code: str = "") -> Path:
        package = site / f"fusekit_{namespace}"
        (package / "files").mkdir(parents=True)
        shutil.copy(tiny, package / "files" / "tiny.safetensors")
        default = f'weights("{namespace}.tiny", file="{file}", task="infrared-visible", summary="Tiny", default=True)'
        hook = code or f"return [{', '.join(entries or (default,))}]"
        (package / "__init__.py").write_text(
            f"from fusekit.plugin import hookimpl, weights\n\n@hookimpl\ndef fusekit_weights():\n    {hook}\n"
        )
        info = site / f"fusekit_{namespace}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fusekit-{namespace}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[fusekit]\n{namespace} = fusekit_{namespace}\n")
        return package

    return install
