"""`fusekit.load(x).fuse(…)`: gives back what it was given, and keeps every bit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import fusekit
from fusekit.data.colour import luminance
from fusekit.errors import DataError, UsageError
from fusekit.fusing.fusion_model import FusionModel
from fusekit.interfaces.context import ClassTable
from fusekit.model.system import FusionSystem
from fusekit_uaafusion.attribution import AttributionGuidance
from fusekit_uaafusion.config import UnfoldingConfig
from fusekit_uaafusion.unfolding import UnfoldingBackbone
from tests.data.files import levels
from tests.networks import TinySegmenter

pytestmark = pytest.mark.slow

GREY, RGB = levels((40, 52), np.uint8, 1), levels((40, 52, 3), np.uint8, 2)
RULES = ("mean", "max", "laplacian")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("rule", RULES)
def test_arrays_keep_shape_and_depth(rule: str, dtype: Any) -> None:
    scale = 1.0 if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).max
    array = (np.linspace(0, 1, GREY.size).reshape(GREY.shape) * scale).astype(dtype)
    fused = fusekit.load(rule).fuse(array, array)
    assert (fused.dtype, fused.shape) == (dtype, array.shape)
    assert np.abs(fused.astype(float) - array.astype(float)).max() <= (1e-6 if scale == 1.0 else 0)
    colour = np.dstack([array, array[::-1], array])
    assert fusekit.load(rule).fuse(array, colour).shape == colour.shape


@pytest.mark.parametrize("rule", RULES)
def test_information_in_the_low_eight_bits_of_sixteen_is_kept(rule: str, tmp_path: Path) -> None:
    """A thermal camera whose scene spans 256 of 65536 levels: 8 bits would leave a single grey."""
    low = (30000 + levels((32, 48), np.uint8, 3).astype(np.uint16)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", low, photometric="minisblack")
    Image.fromarray(low).save(tmp_path / "b.png")
    fused = fusekit.load(rule).fuse(tmp_path / "a.tif", tmp_path / "b.png", out=tmp_path / "out.png")
    assert fused.dtype == np.uint16
    np.testing.assert_array_equal(fused, low)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), low)
    other = low[::-1].copy()
    halves = fusekit.load("mean").fuse(low, other)
    np.testing.assert_allclose(halves, (low.astype(float) + other) / 2, atol=0.51)


@pytest.mark.parametrize("rule", RULES)
def test_grey_infrared_of_equal_luminance_gives_the_visible_back_within_a_level(rule: str) -> None:
    visible = RGB.astype(np.float32) / 255
    infrared = luminance(torch.from_numpy(visible.transpose(2, 0, 1)))[0].numpy()
    model = fusekit.load(rule)
    back = model.fuse(infrared, visible)
    assert np.abs(back * 255 - RGB).max() <= 1.0
    eight = model.fuse(np.rint(infrared * 255).astype(np.uint8), RGB)
    # Rounding the infrared to 8 bits moves the luminance by half a level; that of the result another half.
    assert np.abs(eight.astype(int) - RGB).max() <= 1


def test_colour_choices() -> None:
    model = fusekit.load("mean")
    other = RGB[::-1].copy()
    assert model.fuse(GREY, RGB, colour="luma").shape == GREY.shape
    lent = model.fuse(RGB, other, colour="b").astype(float)
    y = luminance(torch.from_numpy(lent.transpose(2, 0, 1)))[0].numpy()
    chroma = (
        other[..., 2].astype(float) - luminance(torch.from_numpy(other.transpose(2, 0, 1).astype(float)))[0].numpy()
    )
    inside = ((lent > 2) & (lent < 253)).all(axis=2)
    assert inside.any()
    assert np.abs((lent[..., 2] - y) - chroma)[inside].max() <= 2
    separate = model.fuse(RGB, other, colour="channels")
    assert np.abs(separate.astype(float) - (RGB.astype(float) + other) / 2).max() <= 0.5 + 1e-3
    assert model.fuse(GREY, GREY, colour="channels").shape == GREY.shape
    assert model.fuse(GREY, np.dstack([GREY] * 3)).shape == GREY.shape, "three equal channels are grey"


def test_ranges() -> None:
    model = fusekit.load("mean")
    dim = (GREY // 4 + 60).astype(np.uint8)
    wide = model.fuse(dim, dim, range="stretch")
    assert (wide.min(), wide.max()) == (0, 255)
    fixed = model.fuse(dim, dim, range="fixed", limits=(0.2, 0.6))
    np.testing.assert_allclose(fixed, np.clip((dim / 255 - 0.2) / 0.4, 0, 1) * 255, atol=0.51)
    assert model.fuse(dim, dim, bit_depth=16).dtype == np.uint16


@pytest.mark.parametrize("rule", RULES)
def test_a_batch_of_tensors_is_its_scenes(rule: str) -> None:
    model = fusekit.load(rule)
    infrared, visible = torch.rand(3, 1, 40, 36), torch.rand(3, 3, 40, 36)
    batch = model.fuse(infrared, visible)
    assert batch.shape == (3, 3, 40, 36)
    for scene in range(3):
        torch.testing.assert_close(batch[scene], model.fuse(infrared[scene], visible[scene]))
    assert model.fuse(infrared.double(), infrared.double()).dtype == torch.float64
    tiled = model.fuse(infrared, visible, tile=64)
    torch.testing.assert_close(tiled, batch, atol=1e-5, rtol=0)


def test_any_number_of_sources_for_a_rule() -> None:
    model = fusekit.load("max")
    assert model.roles == ()
    arrays = [levels((20, 20), np.uint8, seed) for seed in range(4)]
    np.testing.assert_array_equal(model.fuse(*arrays), np.maximum.reduce(arrays))


def test_what_cannot_be_is_refused_in_one_sentence() -> None:
    model = fusekit.load("mean")
    for images, options, error, says in (
        ((), {}, DataError, "nothing to fuse"),
        ((GREY, GREY[:20]), {}, DataError, "differ in size: 52x40, 52x20"),
        ((GREY[:8], GREY[:8]), {}, DataError, "too small"),
        ((GREY, GREY.astype(np.int32)), {}, DataError, "uint8, uint16 or float"),
        ((GREY / 200.0, GREY / 255.0), {}, DataError, r"must be in \[0, 1\]"),
        ((np.full((20, 20), np.nan), np.zeros((20, 20))), {}, DataError, "must be in"),
        ((np.zeros((20, 20, 4), np.uint8),) * 2, {}, DataError, r"\(20, 20, 4\)"),
        ((GREY, "x.png"), {}, DataError, "must all be paths"),
        ((torch.rand(2, 20, 20),) * 2, {}, DataError, "1 or 3 channels"),
        ((torch.rand(2, 1, 20, 20), torch.rand(3, 1, 20, 20)), {}, DataError, "batches differ"),
        ((GREY, GREY), {"range": "wide"}, UsageError, "not the text 'wide'"),
        ((GREY, GREY), {"colour": "sepia"}, UsageError, "neither a choice nor a role"),
        ((GREY, GREY), {"tile": 3}, UsageError, "at least 64"),
        ((GREY, GREY), {"out": "x.jpg"}, UsageError, "PNG or TIFF"),
    ):
        with pytest.raises(error, match=says):
            model.fuse(*images, **options)
    with pytest.raises(UsageError, match="did you mean 'laplacian'"):
        fusekit.load("laplacien")


@pytest.fixture(scope="module")
def guided() -> FusionModel:
    """A network that asks a task network, whose gradients are switched off and on while it answers."""
    torch.manual_seed(0)
    backbone = UnfoldingBackbone(
        UnfoldingConfig(stages=2, channels=4, stage={"use": "uaafusion.stage", "params": {"channels": 4}})  # type: ignore[arg-type]
    )
    task = TinySegmenter()
    return FusionModel(FusionSystem(backbone, task=task, guidance=AttributionGuidance(), classes=task.classes))


@pytest.mark.parametrize("which", ["laplacian", "guided"])
def test_threads_get_what_one_gets(which: str, guided: FusionModel) -> None:
    model = guided if which == "guided" else fusekit.load(which)
    scenes = [(levels((32, 40), np.uint8, seed), levels((32, 40), np.uint8, seed + 50)) for seed in range(12)]
    alone = [model.fuse(*scene) for scene in scenes]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda scene: model.fuse(*scene), scenes * 2))
    for index, fused in enumerate(together):
        np.testing.assert_array_equal(fused, alone[index % len(scenes)])


def test_a_stream_uses_its_memory_again_and_keeps_its_colour() -> None:
    model = fusekit.load("mean")
    dark = np.zeros_like(RGB)
    with model.stream() as stream:
        with pytest.raises(DataError, match="differ in size"):
            stream.fuse(GREY, dark[:30])  # of which nothing is kept
        first = stream.fuse(GREY, dark)
        assert first.shape == RGB.shape, "a colour camera in the dark is still one"
        second = stream.fuse(GREY, RGB)
        assert second is first
        np.testing.assert_array_equal(second, model.fuse(GREY, RGB))
        with pytest.raises(DataError, match="this frame is 20x52 uint8 and"):
            stream.fuse(GREY[:20], RGB[:20])
        with pytest.raises(DataError, match="frames must be"):
            stream.fuse(GREY / 255.0, RGB)
    with pytest.raises(UsageError, match="flicker"), model.stream(range="stretch"):
        pass


def test_three_colour_sources_and_class_tables_do_not_disturb(guided: FusionModel) -> None:
    assert isinstance(guided.system.classes, ClassTable)
    assert guided.fuse(GREY, RGB).shape == RGB.shape
    with pytest.raises(DataError, match=r"fuses 2 sources \(infrared, visible\), got 3"):
        guided.fuse(GREY, GREY, GREY)
    with pytest.raises(UsageError, match="choose one of auto, luma, channels, infrared, visible"):
        guided.fuse(GREY, RGB, colour="thermal")


@pytest.mark.parametrize("colour", ["auto", "luma", "channels", "b"])
@pytest.mark.parametrize("rule", RULES)
def test_tiles_give_the_same_picture(rule: str, colour: str) -> None:
    """Of files' numbers, colour and alpha included: what is put together from tiles is what is fused whole."""
    model = fusekit.load(rule)
    infrared, visible = levels((300, 421), np.uint16, 1), levels((300, 421, 3), np.uint8, 2)
    whole = model.fuse(infrared, visible, colour=colour, tile="off")
    tiled = model.fuse(infrared, visible, colour=colour, tile=64)
    assert whole.dtype == np.uint16
    assert np.abs(whole.astype(int) - tiled).max() <= 1, "one of 65536 levels, of rounding"
    with pytest.raises(UsageError, match="'stretch' cannot be combined with tiles"):
        model.fuse(infrared, visible, tile=64, range="stretch")


def test_tiles_with_a_task_network(guided: FusionModel) -> None:
    infrared, visible = levels((200, 230), np.uint8, 1), levels((200, 230, 3), np.uint8, 2)
    whole, tiled = (guided.fuse(infrared, visible, tile=tile) for tile in ("off", 96))
    assert np.abs(whole.astype(int) - tiled).max() <= 1
