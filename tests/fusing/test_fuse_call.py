"""`fusekit.fuse`: what the command does, for programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fusekit
from fusekit.data.decoding import read_raster
from fusekit.errors import DataError, UsageError
from fusekit.pipeline.fuse_folder import model_digest
from tests.data.files import levels, save

A, B = levels((20, 24), np.uint8, 1), levels((20, 24), np.uint8, 2)


def test_two_files_by_role_and_by_order(tmp_path: Path) -> None:
    files = [save(tmp_path / "a.png", A), save(tmp_path / "b.png", B)]
    done = fusekit.fuse(files, tmp_path / "made", model="max")
    assert (done.kind, done.out, done.fused) == ("images", tmp_path / "made" / "a.png", ("a",))
    np.testing.assert_array_equal(read_raster(done.out).pixels, np.maximum(A, B))
    copied = fusekit.fuse({"y": files[0], "x": files[1]}, tmp_path / "copy.png", model="copy")
    np.testing.assert_array_equal(read_raster(copied.out).pixels, A)
    with pytest.raises(UsageError, match="exists"):
        fusekit.fuse(files, tmp_path / "copy.png")


def test_folders_tell_what_failed_and_raise_nothing(tmp_path: Path) -> None:
    for name, image in (("1", A), ("2", B)):
        save(tmp_path / "ir" / f"{name}.png", image)
        save(tmp_path / "vi" / f"{name}.png", image)
    (tmp_path / "vi" / "2.png").write_bytes(b"")
    seen: list[str] = []
    call = {"model": fusekit.load("mean"), "bit_depth": 16, "file_format": "tif"}
    done = fusekit.fuse(
        [tmp_path / "ir", tmp_path / "vi"],
        tmp_path / "out",
        advance=lambda done, total, note: seen.append(f"{done}/{total} {note}"),
        contact_sheet=True,
        **call,
    )
    assert (done.fused, list(done.failed), seen) == (("1",), ["2"], ["1/2 1", "2/2 2"])
    assert done.contact_sheet == tmp_path / "out" / "contact-sheet.png"
    assert read_raster(done.contact_sheet).pixels.ndim == 3
    assert read_raster(tmp_path / "out" / "1.tif").pixels.dtype == np.uint16
    again = fusekit.fuse([tmp_path / "ir", tmp_path / "vi"], tmp_path / "out", **call)
    assert (again.fused, again.skipped) == ((), ("1",))


def test_mistakes_are_the_errors_of_fusekit(tmp_path: Path) -> None:
    file = save(tmp_path / "a.png", A)
    with pytest.raises(DataError, match="the file or folder does not exist"):
        fusekit.fuse([file, tmp_path / "z.png"], tmp_path / "out.png")
    with pytest.raises(UsageError, match="there is no model"):
        fusekit.fuse([file, file], tmp_path / "out.png", model="nonsense")
    assert fusekit.fuse([file, file], tmp_path / "out.png", model="laplacian").notes == (
        f"{file} is given twice: it is fused with itself",
    )


def test_the_digest_of_a_model_is_of_what_it_is() -> None:
    assert model_digest(fusekit.load("mean")) == model_digest(fusekit.load("baselines.mean"))
    assert model_digest(fusekit.load("mean")) != model_digest(fusekit.load("max"))


@pytest.mark.parametrize(("jobs", "looks"), [(1, 5), (3, 5)])
def test_of_a_folder_the_first_scenes_are_looked_at_for_a_shift(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int, looks: int
) -> None:
    """Looking costs more than fusing by a rule, and a rig that is shifted is shifted in every scene."""
    seen: list[object] = []
    monkeypatch.setattr("fusekit.registration.registration.looks_shifted", lambda *pair: seen.append(pair))
    for number in range(7):
        save(tmp_path / "ir" / f"{number}.png", A)
        save(tmp_path / "vi" / f"{number}.png", B)
    done = fusekit.fuse([tmp_path / "ir", tmp_path / "vi"], tmp_path / "out", model="mean", jobs=jobs)
    assert (len(done.fused), len(seen)) == (7, looks)
