"""Addresses of the hub, with a fake cache and without any network."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("huggingface_hub", reason="hub addresses need huggingface_hub")

import fusekit as library
from fusekit.errors import DataError, UsageError
from fusekit.recipe.model_location import locate_model
from fusekit_hub import snapshots

Call = Callable[..., Any]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache after a download of one revision of ``org/tiny``; any connection is an error."""
    from huggingface_hub import constants

    repository = tmp_path / "hub" / "models--org--tiny"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copy(tiny, snapshot / "model.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("FUSEKIT_ALLOW_DOWNLOAD", raising=False)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return snapshot


def test_a_cached_revision_is_a_model(cache: Path, fusekit: Call, tmp_path: Path) -> None:
    for revision in ("main", COMMIT):
        assert locate_model(f"hf://org/tiny@{revision}") == cache / "model.safetensors"
    assert library.load("hf://org/tiny@main").roles == ("infrared", "visible")
    shown = fusekit("weights", "card", "hf://org/tiny@main")
    assert shown.code == 0
    assert "# hf://org/tiny@main" in shown.out
    out = tmp_path / "recipe.yaml"
    assert fusekit("weights", "recipe", "hf://org/tiny@main", "-o", out).code == 0
    assert fusekit("weights", "verify", "hf://org/tiny@main").code == 0


def test_what_is_not_cached_is_not_downloaded(cache: Path, fusekit: Call) -> None:
    for address in ("hf://org/tiny@v2", "hf://org/other@main"):
        done = fusekit("weights", "show", address)
        assert done.code == 4
        assert f"{address} is not in the local cache of the hub" in done.err
        assert "FUSEKIT_ALLOW_DOWNLOAD=1" in done.err
    (cache / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"has no file model\.safetensors in the local cache"):
        locate_model("hf://org/tiny@main")


def test_a_download_needs_permission(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: dict[str, Any] = {}

    def download(repository: str, **options: Any) -> str:
        asked.update(options, repository=repository)
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    snapshots.model_file("hf://org/tiny@v1")
    assert asked["local_files_only"] is True
    monkeypatch.setenv("FUSEKIT_ALLOW_DOWNLOAD", "1")
    snapshots.model_file("hf://org/tiny@v1")
    assert asked["local_files_only"] is False
    assert (asked["repository"], asked["revision"]) == ("org/tiny", "v1")
    assert asked["allow_patterns"] == ["model.safetensors", "README.md", "recipe.yaml"]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://org/tiny", "does not name a revision"),
        ("hf://tiny@main", "is not of the form hf://ORG/NAME@REVISION"),
        ("hf://org/../tiny@main", "is not of the form"),
        ("hf://org/tiny@../../x", "is not of the form"),
        ("hf://org/tiny@main/..", "is not of the form"),
        ("hf://org/tiny/file@main", "is not of the form"),
        ("hf://org/tiny@a b", "is not of the form"),
        ("s3://org/tiny", "no installed plugin resolves addresses that begin with s3://"),
    ],
)
def test_addresses_that_are_refused(address: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        locate_model(address)
