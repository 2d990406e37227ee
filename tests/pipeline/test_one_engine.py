"""`fusekit run`, `fusekit fuse` and the API give the same pixels for the same options."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

import fusekit as api
from fusekit.data.decoding import read_raster
from fusekit.data.image_writing import write_raster
from fusekit.data.raster import Raster
from fusekit.fusing import engine
from tests.command_line import Call
from tests.golden.fusing import colour, grey

pytestmark = pytest.mark.slow

BACKBONE = {"use": "refusion.network", "params": {"channels": 8, "heads": 4, "blocks": 1}}


def pair(bits: int) -> dict[str, npt.NDArray[Any]]:
    dtype = np.uint8 if bits == 8 else np.uint16
    return {"infrared": grey(0, 1 << bits).astype(dtype), "visible": colour(1, 1 << bits).astype(dtype)}


def scenes(root: Path, bits: int, names: tuple[str, ...] = ("one",)) -> Path:
    """A dataset of pairs of TIFFs."""
    for split in ("train", "test"):
        for role, folder in (("infrared", "ir"), ("visible", "vi")):
            for number, name in enumerate(names):
                pixels = pair(bits)[role]
                write_raster(root / split / folder / f"{name}.tif", Raster(pixels // (number + 1), 1.0))
    return root


def run(root: Path, runs: Path, fuse: dict[str, Any], backbone: dict[str, Any] | None = None) -> Any:
    plain = {
        "schema": 1,
        "name": "same",
        "data": {"use": "data.pairs", "root": str(root)},
        "model": {"backbone": backbone or BACKBONE},
        "fuse": fuse,
        "evaluate": {"metrics": ["strict.en", "strict.sd"], "pictures": 1},
    }
    return api.run(api.Recipe.from_dict(plain), runs=runs, device="cpu")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"range": "stretch"},
        {"range": "fixed", "limits": [0.2, 0.7]},
        {"colour": "luma"},
        {"colour": "channels"},
        {"colour": "visible", "bit_depth": 16},
        {"bit_depth": 8},
        {"tile": 64},
        {"tile": 64, "range": "fixed", "limits": [0.2, 0.7], "colour": "channels"},
        {"tile": "off"},
    ],
    ids=lambda options: " ".join(f"{name}={value}" for name, value in options.items()) or "as it comes",
)
def test_three_ways_one_image(tmp_path: Path, bits: int, options: dict[str, Any], fusekit: Call) -> None:
    root = scenes(tmp_path / "data", bits)
    done = run(root, tmp_path / "runs", options)
    of_run = read_raster(done.folder.fused / "one.png").pixels
    model = api.load(done.folder.model, device="cpu")
    arrays = pair(bits)
    of_api = model.fuse(arrays["infrared"], arrays["visible"], **options)
    np.testing.assert_array_equal(of_run, of_api)
    assert of_run.dtype == (np.uint16 if options.get("bit_depth", bits) == 16 else np.uint8)

    words = {name: ",".join(map(str, v)) if isinstance(v, list) else str(v) for name, v in options.items()}
    given = [f"--{name.replace('_', '-')}={value}" for name, value in words.items()]
    files = [str(root / "test" / folder / "one.tif") for folder in ("ir", "vi")]
    out = tmp_path / "out.png"
    assert fusekit("fuse", *files, "-o", str(out), "-m", str(done.folder.path), *given).code == 0
    np.testing.assert_array_equal(of_run, read_raster(out).pixels)

    tensors = [model_input(arrays[role]) for role in ("infrared", "visible")]
    scene = model.fuse_scene(tensors, **{name: v for name, v in options.items() if name != "bit_depth"})
    measured = read_raster(done.folder.measured / "one.png").pixels
    assert scene.measured is not None
    levels = scene.measured.numpy()
    luma = levels[0] if len(levels) == 1 else 0.299 * levels[0] + 0.587 * levels[1] + 0.114 * levels[2]
    assert np.abs(luma * 255 - measured).max() <= 0.5001


def model_input(pixels: npt.NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(Raster(pixels, float(np.iinfo(pixels.dtype).max)).values())


def test_a_large_scene_of_a_run_is_fused_in_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusekit.fusing.engine.WHOLE_PIXELS", 48 * 72 - 1)
    monkeypatch.setattr("fusekit.fusing.engine.TILE", 64)
    fused: list[tuple[int, int]] = []
    in_tiles = engine.fuse_in_tiles

    def told(system: Any, size: tuple[int, int], *rest: Any, **options: Any) -> None:
        fused.append(size)
        in_tiles(system, size, *rest, **options)

    monkeypatch.setattr("fusekit.fusing.engine.fuse_in_tiles", told)
    done = run(scenes(tmp_path / "data", 8), tmp_path / "runs", {}, {"use": "baselines.mean"})
    assert fused == [(48, 72)] * 5  # the model and all baselines but the pyramid, which reaches too far
    arrays = pair(8)
    whole = api.load("mean").fuse(arrays["infrared"], arrays["visible"], tile="off")
    np.testing.assert_array_equal(read_raster(done.folder.fused / "one.png").pixels, whole)


def test_floating_point_sources_are_kept_with_sixteen_bits(tmp_path: Path) -> None:
    values = (grey(0, 4096) / 4095).astype(np.float32)
    for split in ("train", "test"):
        for folder in ("ir", "vi"):
            write_raster(tmp_path / "data" / split / folder / "one.tif", Raster(values, 1.0))
    done = run(tmp_path / "data", tmp_path / "runs", {}, {"use": "baselines.mean"})
    pixels = read_raster(done.folder.fused / "one.png").pixels
    np.testing.assert_array_equal(pixels, np.rint(values.astype(np.float64) * 65535).astype(np.uint16))


def test_scenes_with_like_names_keep_their_files_and_scores(tmp_path: Path) -> None:
    """Names that differ by a blank or by a character that not every file system takes; and 200 equal characters."""
    names = ("frame 1", "frame_1", "s:1", "s?1", "x" * 201 + "a", "x" * 201 + "b")
    done = run(scenes(tmp_path / "data", 8, names), tmp_path / "runs", {}, {"use": "baselines.mean"})
    assert len(list(done.folder.fused.iterdir())) == len(list(done.folder.measured.iterdir())) == len(names)
    model = api.load("mean")
    with done.folder.table.open(newline="") as file:
        rows = {row["scene"]: row for row in csv.DictReader(file) if row["method"].startswith("same")}
    assert sorted(rows) == sorted(names)
    for number, name in enumerate(names):
        infrared, visible = (image // (number + 1) for image in pair(8).values())
        file = done.folder.scene_file(done.folder.fused, name)
        np.testing.assert_array_equal(np.asarray(Image.open(file)), model.fuse(infrared, visible))
        grey_levels = np.asarray(Image.open(done.folder.scene_file(done.folder.measured, name)))
        assert float(rows[name]["SD (strict)"]) == pytest.approx(grey_levels.std(), rel=1e-4)
    assert len({row["SD (strict)"] for row in rows.values()}) == len(names)
