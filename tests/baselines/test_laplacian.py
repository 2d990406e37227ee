"""The Laplacian pyramid on scenes whose answer is known."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit_baselines.config import LaplacianConfig
from fusekit_baselines.pyramid import LaplacianPyramid, _expand, _reduce


def scene(height: int = 96, width: int = 128, seed: int = 3) -> Tensor:
    """Smooth noise of several scales, (1, 1, H, W) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.zeros(1, 1, height, width, dtype=torch.float64)
    for cells in (3, 8, 21, 55):
        noise = torch.rand(1, 1, cells, cells, generator=generator, dtype=torch.float64)
        image += F.interpolate(noise, (height, width), mode="bicubic", align_corners=False)
    return ((image - image.min()) / (image.max() - image.min())).float()


def fuse(*sources: Tensor, levels: int = 5) -> Tensor:
    return LaplacianPyramid(LaplacianConfig(levels=levels))(sources).image


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (96, 128), (127, 65), (16, 400)])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_equal_sources_give_themselves_back(size: tuple[int, int], count: int) -> None:
    image = scene(*size)
    assert torch.allclose(fuse(*[image] * count), image, atol=1e-6)


def test_a_constant_stays_constant_through_reduce_and_expand() -> None:
    for height, width in ((16, 16), (17, 23)):
        image = torch.full((2, 3, height, width), 0.7)
        coarse = _reduce(image)
        assert coarse.shape[-2:] == (-(-height // 2), -(-width // 2))
        assert torch.allclose(coarse, torch.full_like(coarse, 0.7))
        assert torch.allclose(_expand(coarse, image.shape[-2:]), image)


def test_an_impulse_spreads_as_the_binomial_filter_says() -> None:
    image = torch.zeros(1, 1, 17, 17)
    image[..., 8, 8] = 1.0
    taps = torch.tensor([1.0, 6.0, 1.0]) / 16  # every second one of 1 4 6 4 1
    assert torch.allclose(_reduce(image)[0, 0, 3:6, 3:6], taps[:, None] * taps)


def test_sharp_halves_make_a_sharp_whole() -> None:
    """Near and far focus: what is sharp in either is sharp in the result."""
    sharp = scene()
    blurred = sharp
    kernel = torch.ones(1, 1, 5, 5) / 25
    for _ in range(3):
        blurred = F.conv2d(F.pad(blurred, (2, 2, 2, 2), mode="replicate"), kernel)
    left = torch.arange(sharp.shape[-1]) < sharp.shape[-1] // 2
    near, far = torch.where(left, sharp, blurred), torch.where(left, blurred, sharp)
    error = (fuse(near, far) - sharp).abs().mean()
    assert error < 0.25 * ((near + far) / 2 - sharp).abs().mean()
    assert error < 0.25 * (near - sharp).abs().mean()


def test_the_strongest_detail_wins_whatever_its_sign_and_the_coarse_rest_is_the_mean() -> None:
    flat, dotted = torch.full((1, 1, 64, 64), 0.4), torch.full((1, 1, 64, 64), 0.6)
    dotted[..., 32, 32] = 0.0
    fused = fuse(flat, dotted, levels=2)
    assert fused[0, 0, 0, 0].item() == pytest.approx(0.5, abs=1e-6)
    assert fused[0, 0, 32, 32].item() == pytest.approx(0.0, abs=0.02)
    assert torch.equal(fuse(flat, dotted, levels=2), fuse(dotted, flat, levels=2))


def test_its_reach_and_stride_are_what_it_says() -> None:
    """A changed pixel changes nothing beyond the reach; a shift by the stride shifts the result."""
    method = LaplacianPyramid(LaplacianConfig(levels=3))
    assert (method.reach, method.stride) == (28, 8)
    one, two = scene(128, 160, 1).double(), scene(128, 160, 2).double()
    before = method((one, two)).image
    changed = one.clone()
    changed[..., 64, 80] += 5.0
    after = method((changed, two)).image
    rows, columns = torch.nonzero((after - before).abs()[0, 0] > 1e-12, as_tuple=True)
    spread = max(int((rows - 64).abs().max()), int((columns - 80).abs().max()))
    assert method.stride < spread <= method.reach
    moved = method((one[..., 8:, 16:], two[..., 8:, 16:])).image
    margin = method.reach
    torch.testing.assert_close(moved[..., margin:, margin:], before[..., 8 + margin :, 16 + margin :])
