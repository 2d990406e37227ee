"""Tiles of a large image against the image fused whole."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.errors import DataError, UsageError
from fusekit.fusing.engine import Engine
from fusekit.fusing.scenes import TensorScene
from fusekit.fusing.tiling.boxes import Box, cut, widened
from fusekit.fusing.tiling.joining import Joiner
from fusekit.fusing.tiling.reduced import read_reduced, reduced_size
from fusekit.fusing.tiling.shared_statistics import SharedSums
from fusekit.fusing.tiling.tile_guidance import RecordedGuidance, TileGuidance
from fusekit.fusing.tiling.tiles import fuse_in_tiles
from fusekit.interfaces import FusionBackbone, FusionOutput, Guidance, Sources
from fusekit.model.system import FusionSystem
from fusekit.recipe.fuse_options import fuse_options
from fusekit_baselines.rules import Maximum, Mean
from fusekit_refusion.config import NetworkConfig
from fusekit_refusion.network import FusionNetwork
from fusekit_uaafusion.attribution import AttributionGuidance, TaskGuidance
from fusekit_uaafusion.config import UnfoldingConfig
from fusekit_uaafusion.unfolding import UnfoldingBackbone
from tests.networks import TinySegmenter, class_table

pytestmark = pytest.mark.slow


def images(height: int, width: int, channels: tuple[int, ...] = (1, 1)) -> list[Tensor]:
    generator = torch.Generator().manual_seed(height * width)
    return [torch.rand(c, height, width, generator=generator) for c in channels]


def reader(sources: Sequence[Tensor]) -> Callable[[Box], list[Tensor]]:
    return lambda box: [box.of(source) for source in sources]


def tiled(backbone: FusionBackbone, sources: list[Tensor], tile: int, **options: object) -> Tensor:
    """The picture made of tiles; every pixel must be written once."""
    system = options.pop("system", None) or FusionSystem(backbone.eval())
    size = tuple(sources[0].shape[-2:])
    fused = torch.full((3 if backbone.colour == "rgb" else 1, *size), math.nan)

    def write(box: Box, pixels: Tensor) -> None:
        assert pixels.shape[-2:] == (box.height, box.width)
        assert bool(box.of(fused).isnan().all())
        box.of(fused).copy_(pixels)

    fuse_in_tiles(system, size, reader(sources), write, tile=tile, **options)  # type: ignore[arg-type]
    assert not bool(fused.isnan().any())
    return fused


def whole(backbone: FusionBackbone, sources: list[Tensor]) -> Tensor:
    with torch.no_grad():
        return backbone.eval()(tuple(source[None] for source in sources)).image[0]


def refusion(order: str = "fused") -> FusionNetwork:
    torch.manual_seed(0)
    return FusionNetwork(NetworkConfig(channels=4, heads=2, blocks=1, arithmetic=order))  # type: ignore[arg-type]


def uaafusion() -> UnfoldingBackbone:
    torch.manual_seed(0)
    config = {"stages": 2, "channels": 4, "stage": {"use": "uaafusion.stage", "params": {"channels": 4}}}
    return UnfoldingBackbone(UnfoldingConfig.model_validate(config))


class OwnMean(FusionBackbone):
    """The mean of what it sees, which jumps from tile to tile; says nothing of how far it reaches."""

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> FusionOutput:
        return FusionOutput(sources[0].mean(dim=(2, 3), keepdim=True).expand_as(sources[0]))


class Cells(FusionBackbone):
    """The mean of cells of 8 pixels, counted from the corner of what it sees."""

    reach = 7
    stride = 8

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> FusionOutput:
        height, width = sources[0].shape[-2:]
        padded = F.pad(sources[0], (0, -width % 8, 0, -height % 8), mode="replicate")
        cells = F.avg_pool2d(padded, 8)
        return FusionOutput(F.interpolate(cells, scale_factor=8)[..., :height, :width])


class FirstInColour(FusionBackbone):
    colour = "rgb"
    reach = 0

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> FusionOutput:
        return FusionOutput(sources[0] * 0.5 + sources[1] * 0.5)


@pytest.mark.parametrize(("length", "most"), [(16, 64), (64, 64), (65, 64), (1000, 64), (8192, 512), (8191, 512)])
def test_cuts_are_nearly_equal(length: int, most: int) -> None:
    edges = cut(length, most)
    pieces = [b - a for a, b in itertools.pairwise(edges)]
    assert (edges[0], edges[-1]) == (0, length)
    assert max(pieces) <= most
    assert max(pieces) - min(pieces) <= 1
    assert len(pieces) == math.ceil(length / most)
    assert all(edge % 8 == 0 for edge in cut(length, most, 8)[:-1])


def test_windows_end_at_the_image_and_at_multiples_of_the_stride() -> None:
    assert widened(Box(50, 0, 100, 60), 13, (108, 500)) == Box(37, 0, 108, 73)
    assert widened(Box(50, 0, 100, 60), 13, (108, 500), 32) == Box(32, 0, 108, 96)
    assert Box(50, 2, 100, 60).inside(Box(37, 0, 108, 73)) == Box(13, 2, 63, 60)


@pytest.mark.parametrize("size", [(16, 16), (16, 700), (333, 16), (64, 64), (65, 129), (201, 190)])
@pytest.mark.parametrize("tile", [64, 100, 2000])
def test_rules_are_the_same_in_tiles_at_every_size(size: tuple[int, int], tile: int) -> None:
    sources = images(*size)
    assert torch.equal(tiled(Maximum(), sources, tile), whole(Maximum(), sources))
    unknown = Mean()
    unknown.reach = None
    torch.testing.assert_close(tiled(unknown, sources, tile), whole(unknown, sources), rtol=0, atol=1e-6)


@pytest.mark.parametrize("make", [refusion, lambda: refusion("released"), uaafusion], ids=["fused", "released", "uaa"])
@pytest.mark.parametrize("size", [(150, 210), (16, 300), (213, 64)])
def test_networks_are_the_same_in_tiles(make: Callable[[], FusionBackbone], size: tuple[int, int]) -> None:
    backbone, sources = make(), images(*size)
    expected = whole(backbone, sources)
    torch.testing.assert_close(tiled(backbone, sources, 64), expected, rtol=0, atol=1e-6)
    backbone.reach = 0  # the border of a window is no border of the image, and shows if it is near enough
    assert float((tiled(backbone, sources, 64) - expected).abs().max()) > 1e-4


@pytest.mark.parametrize("make", [refusion, uaafusion])
def test_backbones_reach_as_far_as_they_say(make: Callable[[], FusionBackbone]) -> None:
    backbone = make().double().eval()
    assert backbone.reach is not None
    side = 2 * backbone.reach + 9
    box, middle = Box(0, 0, side, side), side // 2
    sources = [source.double()[None] for source in images(side, side)]
    changed = [source.clone() for source in sources]
    for source in changed:
        source[..., middle, middle] += 0.5
    sums = SharedSums()  # those of the first image for both: their change is felt everywhere
    with torch.no_grad():
        sums.measure(lambda _: backbone(tuple(sources)), [(box, box)], box.area)
        found = []
        for pair in (sources, changed):
            with sums.substituted():
                found.append(backbone(tuple(pair)).image[0, 0])
    rows, columns = ((found[0] - found[1]).abs() > 1e-15).nonzero().unbind(dim=1)
    farthest = int(torch.maximum((rows - middle).abs(), (columns - middle).abs()).max())
    assert backbone.reach - 4 <= farthest <= backbone.reach


def test_sums_of_a_sample_are_near_those_of_all_pixels() -> None:
    backbone = refusion()
    sources = images(150, 210)
    exact = tiled(backbone, sources, 64, sample=None)
    about = tiled(backbone, sources, 64, sample=3000)
    assert 0 < float((about - exact).abs().max()) < 1e-2
    assert torch.equal(tiled(backbone, sources, 64, sample=30_000), exact)  # so many cost more than all do


def test_windows_keep_in_step_with_the_stride() -> None:
    sources, backbone = images(150, 210), Cells()
    expected = whole(backbone, sources)
    torch.testing.assert_close(tiled(backbone, sources, 70), expected, rtol=0, atol=1e-6)
    backbone.stride = 1
    assert float((tiled(backbone, sources, 70) - expected).abs().max()) > 0.05


def test_tiles_fade_into_each_other() -> None:
    """Left tile 0, right tile 1: the known answer is a ramp, one step of 1 / (2 · fade) per pixel."""
    written: list[tuple[Box, Tensor]] = []
    joiner = Joiner((10, 40), 4, lambda box, pixels: written.append((box, pixels)))
    for value, tile in ((0.0, Box(0, 0, 10, 20)), (1.0, Box(0, 20, 10, 40))):
        area = joiner.area(tile)
        joiner.add(tile, torch.full((1, area.height, area.width), value))
    ((box, pixels),) = written
    assert box == Box(0, 0, 10, 40)
    ramp = [0.0] * 16 + [(i + 0.5) / 8 for i in range(8)] + [1.0] * 16
    torch.testing.assert_close(pixels, torch.tensor(ramp).expand(1, 10, 40))


def test_a_backbone_of_unknown_reach_leaves_no_step() -> None:
    step = torch.linspace(0, 1, 400).expand(1, 256, 400).contiguous()
    fused = tiled(OwnMean(), [step, step], 128)
    assert float(fused.max() - fused.min()) > 0.4  # the tiles do differ
    for axis in (1, 2):
        assert float(fused.diff(dim=axis).abs().max()) < 0.01


def test_colour_goes_through_where_a_backbone_takes_it() -> None:
    sources = images(100, 130, (3, 1))
    expected = (sources[0] + sources[1].expand(3, -1, -1)) / 2
    torch.testing.assert_close(tiled(FirstInColour(), sources, 64), expected)


def test_no_more_than_a_window_or_a_strip_is_read_at_once() -> None:
    sources, asked = images(300, 700), []

    def read(box: Box) -> list[Tensor]:
        asked.append(box.area)
        return [box.of(source) for source in sources]

    backbone = uaafusion()
    system = FusionSystem(backbone.eval(), task=TinySegmenter(), guidance=AttributionGuidance(), classes=class_table())
    heights: list[int] = []
    write: Callable[[Box, Tensor], None] = lambda box, _: heights.append(box.height)  # noqa: E731
    fuse_in_tiles(system, (300, 700), read, write, tile=64)
    assert backbone.reach is not None
    assert max(asked) <= (64 + 2 * backbone.reach) ** 2
    assert max(heights) <= 64


def test_the_job_says_how_far_it_is() -> None:
    told: list[tuple[int, int, str]] = []
    tiled(refusion(), images(100, 130), 64, advance=lambda *news: told.append(news))
    tiles = [news for news in told if news[2] == "tiles"]
    assert tiles == [(n + 1, 6, "tiles") for n in range(6)]
    assert {news[2] for news in told} == {"sums over the image", "tiles"}


def test_what_cannot_be_fused_is_refused() -> None:
    with pytest.raises(UsageError, match="tiles of 32 pixels are too small"):
        tiled(Mean(), images(100, 100), 32)
    with pytest.raises(DataError, match="images of 40x15 are too small"):
        tiled(Mean(), images(15, 40), 64)
    sources = images(100, 100)
    sources[1][0, 99, 99] = math.nan
    with pytest.raises(DataError, match="the visible image contains NaN"):
        tiled(Mean(), sources, 64)


def test_tile_sizes() -> None:
    system = FusionSystem(Mean())

    def side(height: int, width: int, tile: Literal["auto", "off"] | int) -> int | None:
        return Engine(system, fuse_options(tile=tile)).tile(height, width)

    assert side(1024, 1024, "auto") is None
    assert side(1024, 1025, "auto") == 384
    assert side(8192, 8192, "off") is None
    assert side(400, 8000, 300) == 300
    assert side(300, 200, 300) is None
    with pytest.raises(UsageError, match="at least 64"):
        side(300, 200, 63)
    system.backbone.reach = 400
    assert side(2000, 2000, "auto") == 800


def test_guidance_of_an_image_that_need_not_be_reduced_is_the_untiled_one() -> None:
    backbone, sources = uaafusion(), images(150, 210)
    task = TinySegmenter()
    with torch.no_grad():
        task.net[2].weight.mul_(300)  # a task that is sure of itself, for weights that differ from place to place
    system = FusionSystem(backbone.eval(), task=task, guidance=AttributionGuidance(), classes=class_table())
    with torch.no_grad():
        output = system(tuple(source[None] for source in sources))
        unguided = backbone(tuple(source[None] for source in sources)).image[0]
    assert output.weights is not None
    assert float(output.weights.std()) > 0.01
    found = tiled(backbone, sources, 64, system=system)
    torch.testing.assert_close(found, output.image[0], rtol=0, atol=1e-6)
    assert float((found - unguided).abs().max()) > 1e-5


class Known(Guidance):
    """Attributions and gradients that are ramps."""

    def attribution(self) -> object:  # type: ignore[override]
        raise AssertionError

    def task_gradient(self, image: Tensor) -> Tensor:
        return torch.arange(20.0).expand(1, 1, 10, 20)


def test_gradients_are_enlarged_and_shared_among_more_pixels() -> None:
    """A ramp of 20 columns over 80: one quarter of a step per pixel, and a sixteenth of the height."""
    recorded = RecordedGuidance(Known())
    recorded.task_gradient(torch.zeros(1, 1, 10, 20))
    window = Box(5, 10, 25, 60)
    found = TileGuidance(recorded, window, (40, 80)).task_gradient(torch.zeros(1, 1, 20, 50))
    expected = ((torch.arange(10, 60) + 0.5) / 4 - 0.5) / 16
    torch.testing.assert_close(found, expected.expand(1, 1, 20, 50), rtol=0, atol=1e-6)
    asked_out = TileGuidance(RecordedGuidance(Known()), window, (40, 80))
    with pytest.raises(RuntimeError, match="more gradients on a tile"):
        asked_out.task_gradient(torch.zeros(1, 1, 20, 50))


def test_a_reduced_scene_stands_for_the_large_one() -> None:
    """A pointwise task, and an image of blocks of 4 pixels: scores and gradients are those of the large image."""
    task = TinySegmenter(classes=3)
    first, last = task.net[0], task.net[2]
    for layer in (first, last):  # leaves the middle of each kernel
        middle = torch.zeros(3, 3)
        middle[1, 1] = 20.0
        layer.weight.data.mul_(middle)  # type: ignore[operator, union-attr]
    small = tuple(source[None] for source in images(16, 24))
    large = tuple(s.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3) for s in small)
    size = (64, 96)
    reduced = read_reduced(size, reader([s[0] for s in large]), (16, 24))
    for one, other in zip(reduced, small, strict=True):
        torch.testing.assert_close(one, other[0])
    recorded = RecordedGuidance(TaskGuidance(task, small))
    window = Box(3, 10, 50, 90)
    found = TileGuidance(recorded, window, size).attribution()
    expected = TaskGuidance(task, large).attribution()
    assert int(expected.regions.unique().numel()) > 1
    assert float(expected.scores.max()) > 0
    assert torch.equal(found.regions, window.of(expected.regions))
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-4, atol=0)
    flat = tuple(torch.full_like(s, 0.4) for s in small), tuple(torch.full_like(s, 0.4) for s in large)
    recorded = RecordedGuidance(TaskGuidance(task, flat[0]))
    recorded.task_gradient(flat[0][0])
    gradient = TileGuidance(recorded, window, size).task_gradient(window.of(flat[1][0]))
    wanted = window.of(TaskGuidance(task, flat[1]).task_gradient(flat[1][0]))
    torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=0)


@pytest.mark.parametrize("size", [(61, 103), (64, 96), (16, 500)])
def test_reduced_images_are_means_over_areas(size: tuple[int, int]) -> None:
    sources = images(*size, channels=(1, 3))
    target = reduced_size(size, 1500, 16)
    assert min(target) >= 16
    assert target[0] * target[1] <= max(1600, 16 * size[1])
    for found, source in zip(read_reduced(size, reader(sources), target), sources, strict=True):
        torch.testing.assert_close(found, F.adaptive_avg_pool2d(source, target), rtol=0, atol=1e-6)
    assert reduced_size(size, 10**6, 16) == size


def test_a_batch_is_not_taken_for_its_first_scene() -> None:
    batch = torch.rand(2, 1, 80, 80)
    with pytest.raises(UsageError, match="batch cannot be fused in tiles"):
        Engine(FusionSystem(Mean()), fuse_options(tile=64)).fuse(TensorScene([batch, batch]))
