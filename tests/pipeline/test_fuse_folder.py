"""Folders: kills, full disks and several processes lose nothing and do nothing twice."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fusekit
from fusekit.data.decoding import read_raster
from fusekit.errors import RunError, UsageError
from fusekit.pipeline.fuse_folder import FolderJob, FolderResult, file_digest, part_of
from fusekit.pipeline.pairs import Scene, pair_folders
from fusekit.recipe.fuse_options import FuseOptions
from tests.data.files import levels, save

pytestmark = pytest.mark.slow


def lay_pairs(folder: Path, count: int) -> dict[str, Path]:
    for number in range(count):
        save(folder / "ir" / f"{number:03}.png", levels((20, 24), np.uint8, number))
        save(folder / "vi" / f"{number:03}.png", levels((20, 24), np.uint8, number + 5000))
    return {"ir": folder / "ir", "vi": folder / "vi"}


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(out.glob("manifest*.jsonl")) for line in path.open(encoding="utf-8")]


def check_complete(out: Path, scenes: list[Scene], roles: tuple[str, str] = ("ir", "vi")) -> None:
    """All results there, whole, right, and each written down once; nothing else lies there."""
    recorded = lines(out)
    assert Counter(line["id"] for line in recorded) == {scene.id: 1 for scene in scenes}
    for scene, line in zip(scenes, sorted(recorded, key=lambda line: line["id"]), strict=True):
        result = out / f"{scene.id}.png"
        assert file_digest(result) == line["output_sha256"]
        sources = [read_raster(path).pixels.astype(float) for path in scene.files.values()]
        assert np.abs(read_raster(result).pixels - sum(sources) / len(sources)).max() <= 0.51
        assert [line["sources"][role]["sha256"] for role in roles] == [file_digest(p) for p in scene.files.values()]
        assert line["size"] == [20, 24]
        assert len(line["model_sha256"]) == 64
    left = {path.name for path in out.iterdir()} - {f"{scene.id}.png" for scene in scenes}
    assert {name for name in left if not name.startswith("manifest")} == set()


@pytest.fixture
def scenes(tmp_path: Path) -> list[Scene]:
    return pair_folders(lay_pairs(tmp_path, 8))[0]


def job(out: Path, **options: Any) -> FolderJob:
    return FolderJob(fusekit.load("mean"), "mean", out, ".png", FuseOptions(), **options)


@pytest.mark.slow
def test_three_hundred_pairs_killed_five_times(tmp_path: Path) -> None:
    folders, out = lay_pairs(tmp_path, 300), tmp_path / "out"
    command = [sys.executable, "-m", "fusekit", "fuse", str(folders["ir"]), str(folders["vi"])]
    command += ["-o", str(out), "-m", "mean", "--jobs", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    chance = random.Random(7)
    manifest = out / "manifest.jsonl"
    done = 0
    for _ in range(5):
        until = done + chance.randint(5, 50)
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and (not manifest.exists() or manifest.read_bytes().count(b"\n") < until):
            time.sleep(0.002)
        time.sleep(chance.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it was killed while it worked"
        done = manifest.read_bytes().count(b"\n")
        assert done < 300
    last = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
    before = int(last.stderr.split(" already finished")[0].split()[-1])
    assert before >= done - 1, "what had a line was not fused again"
    # Threads come in any order, and so do lines.
    check_complete(out, pair_folders(folders)[0], roles=("a", "b"))


def test_killed_between_line_and_name_it_is_not_fused_again(
    tmp_path: Path, scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException): ...

    replace = Path.replace

    def kill(self: Path, target: Path) -> Path:
        if target.name == "004.png":
            raise Killed
        return replace(self, target)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", kill)
        with pytest.raises(Killed):
            job(out).run(scenes)
    assert part_of(out / "004.png").is_file()
    assert not (out / "004.png").exists()
    result = job(out).run(scenes)
    assert result.skipped == ["000", "001", "002", "003", "004"]
    check_complete(out, scenes)


def test_killed_within_a_line_it_is_fused_again(tmp_path: Path, scenes: list[Scene]) -> None:
    out = tmp_path / "out"
    job(out).run(scenes)
    text = (out / "manifest.jsonl").read_bytes()
    (out / "manifest.jsonl").write_bytes(text[:-40])
    (out / "007.png").rename(part_of(out / "007.png"))
    result = job(out).run(scenes)
    assert (result.fused, len(result.skipped)) == (["007"], 7)
    check_complete(out, scenes)


@pytest.mark.parametrize("where", ["picture", "line"])
def test_a_full_disk_ends_the_job_and_keeps_the_rest(
    tmp_path: Path, scenes: list[Scene], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    calls = iter(range(100))
    sync = os.fsync

    def full(descriptor: int) -> None:
        # A picture and a line are each synced once a scene: 6 is the fourth picture, 7 its line.
        if next(calls) == (6 if where == "picture" else 7):
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RunError, match="No space left on device"):
            job(out).run(scenes)
    assert sorted(path.name for path in out.iterdir()) == ["000.png", "001.png", "002.png", "manifest.jsonl"]
    assert job(out).run(scenes).skipped == ["000", "001", "002"]
    check_complete(out, scenes)


def test_a_damaged_result_and_a_changed_source_are_done_again(tmp_path: Path, scenes: list[Scene]) -> None:
    out = tmp_path / "out"
    job(out).run(scenes)
    (out / "002.png").write_bytes((out / "002.png").read_bytes()[:-30])
    save(scenes[5].files["vi"], levels((20, 24), np.uint8, 99))
    result = job(out).run(scenes)
    assert result.fused == ["002", "005"]
    assert job(out).run(scenes).fused == []


def test_processes_share_the_scenes_without_doing_one_twice(tmp_path: Path, scenes: list[Scene]) -> None:
    out = tmp_path / "out"
    results = [job(out).run(scenes, rank=rank, world=3) for rank in range(3)]
    assert sorted(scene for result in results for scene in result.fused) == [scene.id for scene in scenes]
    assert sorted(path.name for path in out.glob("manifest*")) == [
        "manifest.jsonl",
        "manifest.rank1.jsonl",
        "manifest.rank2.jsonl",
    ]
    check_complete(out, scenes)
    assert len(job(out).run(scenes).skipped) == 8, "another number of processes knows what is done"


def test_torchrun_shares_them(tmp_path: Path) -> None:
    folders, out = lay_pairs(tmp_path, 6), tmp_path / "out"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "fusekit"]
    command += ["fuse", str(folders["ir"]), str(folders["vi"]), "-o", str(out), "-m", "mean"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts = [len(path.read_text().splitlines()) for path in sorted(out.glob("manifest*.jsonl"))]
    assert counts == [3, 3]
    assert len(list(out.glob("*.png"))) == 6


def test_a_second_run_into_the_same_folder_is_refused(tmp_path: Path, scenes: list[Scene]) -> None:
    pytest.importorskip("fcntl")
    out = tmp_path / "out"
    refused: list[str] = []

    def second(done: int, total: int, note: str) -> None:
        if done == 1:
            with pytest.raises(UsageError, match="another run is writing into this folder") as caught:
                job(out).run(scenes)
            refused.append(caught.value.message)

    job(out).run(scenes, advance=second)
    assert len(refused) == 1
    check_complete(out, scenes)


def test_one_scene_of_a_failing_model_costs_only_itself(
    tmp_path: Path, scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    fuse = fusekit.FusionModel.fuse_rasters
    seen: Iterator[int] = iter(range(100))

    def sometimes(self: Any, *arguments: Any, **options: Any) -> Any:
        number = next(seen)
        if number == 2:
            raise RuntimeError("a plugin's fault")
        if number == 4:
            raise MemoryError
        return fuse(self, *arguments, **options)

    monkeypatch.setattr(fusekit.FusionModel, "fuse_rasters", sometimes)
    result: FolderResult = job(tmp_path / "out").run(scenes)
    assert result.failed == {
        "002": "RuntimeError: a plugin's fault",
        "004": "not enough memory; fuse in smaller tiles or with fewer jobs",
    }
    assert len(result.fused) == 6


def test_notes_of_the_sources_stand_in_the_manifest(tmp_path: Path, scenes: list[Scene]) -> None:
    noting = job(tmp_path / "out", prepare=lambda pictures, scene: (pictures, (f"seen {scene.id}",)))
    assert noting.run(scenes).notes["003"] == ("seen 003",)
    assert noting.run(scenes).notes["003"] == ("seen 003",), "also of scenes that were finished before"


def test_stems_are_paired_as_they_read(tmp_path: Path) -> None:
    for folder, name in (("a", "W\u00e4rme.png"), ("b", "Wa\u0308rme.tif"), ("b", ".hidden.png"), ("b", "notes.txt")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_bytes(b"")
    found, odd = pair_folders({"a": tmp_path / "a", "b": tmp_path / "b"})
    assert ([scene.id for scene in found], odd) == (["W\u00e4rme"], {})
    (tmp_path / "a" / "W\u00e4rme.jpg").write_bytes(b"")
    found, odd = pair_folders({"a": tmp_path / "a", "b": tmp_path / "b"})
    assert (found, list(odd.values())) == ([], [f"more than one image with this stem in {tmp_path / 'a'}"])
