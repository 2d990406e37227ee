"""Sums over a whole image, taken by a network that sees windows of it."""

from __future__ import annotations

import threading

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusekit.fusing.tiling.boxes import Box, sample_boxes, tiles_of, widened
from fusekit.fusing.tiling.shared_statistics import SharedSums
from fusekit.interfaces import Sums, image_sums, in_parts
from fusekit.interfaces.global_statistics import sums_from
from fusekit_refusion.config import NetworkConfig
from fusekit_refusion.network import FusionNetwork


def moments(x: Tensor) -> Sums:
    """Number of pixels, their sum, and that of their squares."""
    return torch.ones_like(x[:, :1]).sum(dim=(2, 3)), x.sum(dim=(2, 3)), x.square().sum(dim=(2, 3))


class Standardised(nn.Module):
    """Twice: blurred, then less its mean and divided by its spread, of the whole image; so the second depends on the
    first. Between them the size is halved."""

    reach = 4

    def forward(self, x: Tensor) -> Tensor:
        for halve in (True, False):
            x = F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1).tanh()
            x = F.avg_pool2d(x, 2) if halve else x
            count, total, squares = (s[..., None, None] for s in image_sums(moments, x))
            mean = total / count
            x = (x - mean) / (squares / count - mean**2).sqrt()
        return x


def parts_of(size: tuple[int, int], tile: int, reach: int, stride: int = 1) -> list[tuple[Box, Box]]:
    return [(box, widened(box, reach, size, stride)) for box in tiles_of(size, tile, stride)]


def test_in_ordinary_use_the_sums_are_the_networks_own_with_their_gradients() -> None:
    x = torch.rand(2, 3, 4, 5, requires_grad=True)
    assert not in_parts()
    count, total, squares = image_sums(moments, x)
    assert count.tolist() == [[20.0], [20.0]]
    assert torch.equal(total, x.sum(dim=(2, 3)))
    (gradient,) = torch.autograd.grad(squares.sum(), x)
    assert torch.equal(gradient, 2 * x)


def test_sums_over_windows_that_cover_the_image_are_the_images_even_where_they_depend_on_each_other() -> None:
    size = (50, 78)
    image = torch.rand(1, 1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    network = Standardised()
    whole = network(image)
    shared = SharedSums()
    parts = parts_of(size, 24, reach=network.reach, stride=2)
    shared.measure(lambda window: network(window.of(image)), parts, 50 * 78)
    assert [sums[0].item() for sums in shared.known] == [25 * 39, 25 * 39]  # the second time at half the size
    for core, window in parts:
        with shared.substituted():
            found = network(window.of(image))
        half = Box(*(x // 2 for x in core)), Box(*(x // 2 for x in window))
        torch.testing.assert_close(half[0].inside(half[1]).of(found), half[0].of(whole), rtol=1e-11, atol=1e-11)
        assert float((network(core.of(image)) - half[0].of(whole)).abs().max()) > 0.1  # what tiles give unshared


def test_sums_of_a_sample_are_scaled_to_the_image() -> None:
    size = (100, 300)
    image = torch.full((1, 1, *size), 0.5)
    shared = SharedSums()
    boxes = sample_boxes(size, 3000, 16)
    shared.measure(lambda window: image_sums(moments, window.of(image)), [(box, box) for box in boxes], 30_000)
    assert [value.item() for value in shared.known[0]] == pytest.approx([30_000, 15_000, 7_500], rel=1e-6)


@pytest.mark.parametrize("order", ["fused", "released"])
def test_refusion_shares_its_attention(order: str) -> None:
    torch.manual_seed(0)
    network = FusionNetwork(NetworkConfig(channels=8, heads=4, blocks=1, arithmetic=order))  # type: ignore[arg-type]
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "temperature" in name:
                weight.fill_(20.0)  # as it is at the start attention hardly looks at anything
        generator = torch.Generator().manual_seed(1)
        light = torch.linspace(0, 1, 96)  # the left differs from the right, so no tile is like the image
        sources = tuple(torch.rand(1, 1, 80, 96, generator=generator) * side for side in (light, 1 - light))
        whole = network(sources).image
        shared = SharedSums()
        parts = parts_of((80, 96), 48, network.reach)
        shared.measure(lambda window: network(tuple(window.of(s) for s in sources)), parts, 80 * 96)
        assert len(shared.known) == 5  # one block in either encoder, two streams of the fusion, one block after it
        alone = 0.0
        for core, window in parts:
            seen = tuple(window.of(s) for s in sources)
            with shared.substituted():
                found = network(seen).image
            torch.testing.assert_close(core.inside(window).of(found), core.of(whole), rtol=0, atol=1e-6)
            alone = max(alone, float((core.inside(window).of(network(seen).image) - core.of(whole)).abs().max()))
    assert alone > 1e-4  # what tiles differ by with sums of their own


def test_a_network_that_changes_its_questions_is_refused() -> None:
    image = torch.rand(1, 1, 16, 32)
    left, right = Box(0, 0, 16, 16), Box(0, 16, 16, 32)

    def asks(window: Box, times: int) -> None:
        for _ in range(times):
            image_sums(moments, window.of(image))

    shared = SharedSums()
    with pytest.raises(RuntimeError, match="in some parts than in others"):
        shared.measure(lambda window: asks(window, 1 if window == left else 0), [(left, left), (right, right)], 512)
    shared.measure(lambda window: asks(window, 1), [(left, left), (right, right)], 512)
    with pytest.raises(RuntimeError, match="than when they were measured"), shared.substituted():
        asks(left, 2)
    assert not in_parts()


def test_another_thread_does_not_notice() -> None:
    class Nothing:
        def sums(self, of: object, maps: object) -> Sums:
            return ()

    x, seen = torch.ones(1, 1, 2, 2), []
    with sums_from(Nothing()):
        thread = threading.Thread(target=lambda: seen.append(len(image_sums(moments, x))))
        thread.start()
        thread.join()
        assert image_sums(moments, x) == ()
    assert seen == [3]


def test_a_network_that_takes_sums_compiles_in_one_graph() -> None:
    network = FusionNetwork(NetworkConfig(channels=4, heads=2, blocks=1))
    compiled = torch.compile(network, fullgraph=True, backend="eager")
    sources = tuple(torch.rand(1, 1, 16, 16) for _ in range(2))
    with torch.no_grad():
        assert torch.equal(compiled(sources).image, network(sources).image)


@pytest.mark.parametrize("size", [(300, 400), (64, 5000), (16, 9000), (5000, 20), (257, 259)])
def test_samples_lie_apart_within_the_image_and_have_the_size_that_was_asked_for(size: tuple[int, int]) -> None:
    boxes = sample_boxes(size, 50_000, 64)
    covered = torch.zeros(size, dtype=torch.int64)
    for box in boxes:
        assert min(box.top, box.left) >= 0
        assert min(box.height, box.width) >= 16
        box.of(covered).add_(1)
    assert covered.max() == 1
    assert 0.6 * 50_000 < covered.sum() < 1.4 * 50_000
    assert boxes == sample_boxes(size, 50_000, 64)
    aligned = sample_boxes(size, 50_000, 60, stride=8)
    assert {(box.top % 8, box.left % 8) for box in aligned} == {(0, 0)}
    apart = torch.zeros(size, dtype=torch.int64)
    for box in aligned:
        box.of(apart).add_(1)
    assert apart.max() == 1
    for half in covered.chunk(2, dim=int(size[0] < size[1])):
        assert half.sum() > 0.4 * covered.sum()
