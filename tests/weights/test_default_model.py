"""`fusekit fuse` without a model: the default weights of the task, or the pyramid; and the order of the sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fusekit as library
from fusekit.data.decoding import read_raster
from fusekit.errors import UsageError
from fusekit.pipeline.source_order import refuse_swapped
from tests.data.files import levels, save

pytestmark = pytest.mark.slow
Call = Callable[..., Any]
Ship = Callable[..., Path]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    for name in ("ir.png", "vis.png", "thermal/1.png", "visible/1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save(folder / name, levels((32, 40), np.uint8, len(name)))
    monkeypatch.chdir(folder)
    return folder


def pixels(name: str) -> Any:
    return read_raster(Path(name)).pixels


def test_without_weights_nothing_changes(fusekit: Call, here: Path) -> None:
    done = fusekit("--no-plugins", "-p", "no:weights", "fuse", "ir.png", "vis.png", "-o", "out.png")
    assert (done.code, done.err) == (0, "")
    assert fusekit("fuse", "ir.png", "vis.png", "-o", "pyramid.png", "-m", "laplacian").code == 0
    np.testing.assert_array_equal(pixels("out.png"), pixels("pyramid.png"))
    asked = fusekit("-p", "no:weights", "fuse", "ir.png", "vis.png", "-o", "m.png", "--task", "medical")
    assert asked.code == 0
    assert asked.err.startswith("no weights for medical are installed: fused by the method laplacian instead")
    np.testing.assert_array_equal(pixels("m.png"), pixels("pyramid.png"))


def test_the_default_weights_are_used_and_named(fusekit: Call, here: Path, ship: Ship) -> None:
    ship()
    off = ("-p", "no:weights")
    done = fusekit(*off, "fuse", "ir.png", "vis.png", "-o", "out.png")
    assert (done.code, done.out) == (0, "out.png\n")
    (line,) = done.err.splitlines()
    assert line.startswith("weights tiny, trained on synthetic scenes; sources are infrared, visible in this order")
    assert "--model laplacian" in line
    assert fusekit(*off, "fuse", "ir.png", "vis.png", "-o", "named.png", "-m", "tiny").err == ""
    np.testing.assert_array_equal(pixels("out.png"), pixels("named.png"))
    folders = fusekit(*off, "fuse", "thermal", "visible", "-o", "fused")
    assert folders.code == 0
    assert folders.err.startswith("weights tiny, ")
    assert fusekit(*off, "fuse", "ir.png", "vis.png", "-o", "q.png", "--quiet").err == ""
    old = fusekit(*off, "fuse", "ir.png", "vis.png", "-o", "old.png", "--model", "laplacian")
    assert old.err == ""
    assert (pixels("old.png") != pixels("out.png")).any()


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (["ir.png", "vis.png", "ir.png"], "tiny fuses 2 sources, not 3: fused by the method laplacian instead"),
        (["--source", "a=ir.png", "--source", "b=vis.png"], "tiny has no role 'a': fused by the method laplacian"),
        (["ir.png", "vis.png", "--task", "multi-focus"], "no weights for multi-focus are installed"),
    ],
)
def test_the_pyramid_where_the_weights_do_not_fit(
    fusekit: Call, here: Path, ship: Ship, words: list[str], note: str
) -> None:
    ship()
    done = fusekit("-p", "no:weights", "fuse", *words, "-o", "out.png")
    assert done.code == 0
    assert note in done.err


def test_weights_that_are_not_the_default_are_mentioned(fusekit: Call, here: Path, ship: Ship) -> None:
    ship('weights("ship.tiny", file="files/tiny.safetensors", task="infrared-visible", summary="Tiny")')
    done = fusekit("-p", "no:weights", "fuse", "ir.png", "vis.png", "-o", "out.png", "--task", "infrared-visible")
    assert done.code == 0
    said = "fused by the method laplacian, the default for infrared-visible (--model tiny uses trained weights)"
    assert done.err.strip() == said


def test_wrong_tasks(fusekit: Call, here: Path) -> None:
    done = fusekit("fuse", "ir.png", "vis.png", "-o", "out.png", "--task", "medcal")
    assert done.code == 2
    assert "no task 'medcal'; did you mean 'medical'?" in done.err
    done = fusekit("fuse", "ir.png", "vis.png", "-o", "out.png", "--task", "medical", "--model", "mean")
    assert done.code == 2
    assert "cannot be combined with a model" in done.err


def test_python_uses_the_same_default(fusekit: Call, here: Path, ship: Ship) -> None:
    ship()
    done = library.fuse(["ir.png", "vis.png"], "out.png", task="infrared-visible")
    assert fusekit("fuse", "ir.png", "vis.png", "-o", "named.png", "-m", "tiny").code == 0
    if "weights tiny" in done.notes[0]:  # unless fusekit ships weights of its own
        np.testing.assert_array_equal(pixels("out.png"), pixels("named.png"))
    with pytest.raises(UsageError, match="cannot be combined with a model"):
        library.fuse(["ir.png", "vis.png"], "x.png", task="medical", model="mean")


def test_swapped_sources_are_refused(fusekit: Call, here: Path, ship: Ship) -> None:
    ship()
    for first, second in (("vis.png", "ir.png"), ("visible", "thermal"), ("visible/1.png", "thermal/1.png")):
        done = fusekit("-p", "no:weights", "fuse", first, second, "-o", "out.png")
        assert done.code == 2
        said = " ".join(done.err.split())
        assert f"{first} looks like the visible source, but it is given as the infrared one" in said
        assert f"swap them ({second} {first})" in said
        assert f"--source infrared={first} --source visible={second}" in said
        assert not (here / "out.png").exists()
    words = ["--source", "infrared=vis.png", "--source", "visible=ir.png"]
    assert fusekit("-p", "no:weights", "fuse", *words, "-o", "out.png").code == 0
    assert fusekit("fuse", "vis.png", "ir.png", "-o", "any.png", "-m", "mean").code == 0  # a method has no such roles


@pytest.mark.parametrize(
    ("roles", "names", "refused"),
    [
        ("infrared visible", "a/ir/1.png a/vi/1.png", False),
        ("infrared visible", "a/vi/1.png a/ir/1.png", True),
        ("infrared visible", "a/1.png b/2.png", False),
        ("infrared visible", "FLIR_0042_RGB.png x.png", False),  # suggests both
        ("infrared visible", "RGB_0042.png x.png", True),
        ("infrared visible", "x.png thermal-7.png", True),
        ("infrared visible", "sceneVis.png sceneIr.png", True),
        ("infrared visible", "vis_a.png vis_b.png", False),  # one of them is where it belongs
        ("infrared visible", "fire.png vista.png", False),
        ("near far", "far.png near.png", True),
        ("under over", "IMG_over.jpg IMG_under.jpg", True),
        ("mri pet", "12_pet.png 12_mri.png", True),
        ("left right", "right.png left.png", True),
    ],
)
def test_names_that_suggest_another_order(roles: str, names: str, refused: bool) -> None:
    paths = [Path(name) for name in names.split()]
    given = dict(zip(roles.split(), paths, strict=True))
    if refused:
        with pytest.raises(UsageError, match="looks like the"):
            refuse_swapped(given, paths)
    else:
        refuse_swapped(given, paths)
    refuse_swapped(given, [])  # sources named by role are never refused


def test_a_missing_default_file_is_an_error_not_a_pyramid(fusekit: Call, here: Path, ship: Ship) -> None:
    (ship() / "files" / "tiny.safetensors").unlink()
    done = fusekit("-p", "no:weights", "fuse", "ir.png", "vis.png", "-o", "out.png")
    assert done.code == 3
    assert "fusekit-ship" in done.err
    assert Image.open("ir.png").size == (40, 32)
    assert not (here / "out.png").exists()
