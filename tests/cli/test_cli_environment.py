"""The launcher's environment, as containers and clusters leave it behind: believed only where it is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusekit.errors import UsageError
from fusekit.launch import Launch, launch
from tests.data.files import levels, save
from tests.pipeline.small import small_recipe

Call = Callable[..., Any]
NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def put(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    for pair in text.split():
        monkeypatch.setenv(*pair.split("=", 1))


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders ``a`` and ``b`` of three pictures each, to type in."""
    monkeypatch.chdir(tmp_path)
    for index, folder in enumerate("ab"):
        (tmp_path / folder).mkdir()
        for scene in range(3):
            save(tmp_path / folder / f"{scene}.png", levels((20, 24), np.uint8, 3 * index + scene))
    return tmp_path


BAD = {
    "RANK=7": "RANK is 7 and WORLD_SIZE is not set",
    "WORLD_SIZE=3": "WORLD_SIZE is 3 and RANK is not set",
    "RANK=x": "RANK is not a whole number of at least 0: 'x'",
    "RANK=-1 WORLD_SIZE=2": "RANK is not a whole number",
    "RANK=² WORLD_SIZE=3": "RANK is not a whole number",
    "RANK=99999999999999999999 WORLD_SIZE=2": "RANK is not a whole number",
    "WORLD_SIZE=0": "WORLD_SIZE is not a whole number of at least 1: '0'",
    "RANK=0 WORLD_SIZE=two": "WORLD_SIZE is not a whole number",
    "RANK=3 WORLD_SIZE=3": "RANK is 3 and WORLD_SIZE 3: ranks go from 0 to 2",
    "RANK=1 WORLD_SIZE=2 LOCAL_RANK=x": "LOCAL_RANK is not a whole number",
    "RANK=1 WORLD_SIZE=4 LOCAL_RANK=2 LOCAL_WORLD_SIZE=2": "LOCAL_RANK is 2 and LOCAL_WORLD_SIZE 2",
}


@pytest.mark.parametrize("variables", BAD)
def test_what_cannot_be_is_refused_before_anything_is_done(
    fusekit: Call, pairs: Path, monkeypatch: pytest.MonkeyPatch, variables: str
) -> None:
    put(monkeypatch, variables)
    for command in (("fuse", "a", "b", "-o", "out", "-m", "mean"), ("run", "uaafusion_msrs")):
        done = fusekit(*command)
        assert done.code == 2, done.err
        assert BAD[variables] in " ".join(done.err.split())
        assert "env -u RANK" in done.err
    assert not (pairs / "out").exists()
    assert not (pairs / "runs").exists()


@pytest.mark.parametrize(
    "variables", ["", "RANK=0", "WORLD_SIZE=1", "RANK=0 WORLD_SIZE=1 LOCAL_RANK=0", "LOCAL_RANK=5"]
)
def test_a_process_alone_fuses_all(fusekit: Call, pairs: Path, monkeypatch: pytest.MonkeyPatch, variables: str) -> None:
    put(monkeypatch, variables)
    assert fusekit("fuse", "a", "b", "-o", "out", "-m", "mean").code == 0
    assert len(list((pairs / "out").glob("*.png"))) == 3


def test_a_process_among_others_fuses_its_share(fusekit: Call, pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, "RANK=1 WORLD_SIZE=3")
    assert fusekit("fuse", "a", "b", "-o", "out", "-m", "mean").code == 0
    assert [path.name for path in (pairs / "out").glob("*.png")] == ["1.png"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("", "MASTER_ADDR is not set"),
        ("MASTER_ADDR=localhost", "MASTER_PORT is not set"),
        ("MASTER_ADDR=localhost MASTER_PORT=http", "MASTER_PORT is not a valid port: 'http'"),
        ("MASTER_ADDR=localhost MASTER_PORT=99999", "MASTER_PORT is not a valid port"),
    ],
)
def test_training_wants_a_meeting_point(
    fusekit: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini.yaml").write_text(small_recipe().dumps_resolved())
    put(monkeypatch, f"RANK=1 WORLD_SIZE=2 {more}")
    done = fusekit("run", "mini.yaml", "--device", "cpu")
    assert done.code == 2, done.err
    assert says in " ".join(done.err.split())


def test_what_torchrun_sets_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launch() == Launch()
    put(monkeypatch, "RANK=5 WORLD_SIZE=8 LOCAL_RANK=1 LOCAL_WORLD_SIZE=4")
    assert launch() == Launch(5, 8, 1, 4)
    monkeypatch.setenv("RANK", "")
    with pytest.raises(UsageError, match="RANK is not set"):
        launch()
