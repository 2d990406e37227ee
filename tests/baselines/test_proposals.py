"""The proposers for pairs of different focus and exposure, on scenes whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit_baselines.config import SharpestConfig, WellExposedConfig
from fusekit_baselines.proposals import SharpestProposer, WellExposedProposer, _blurred


def texture(height: int = 64, width: int = 96) -> Tensor:
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(5))


def blurred(image: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(image, (3, 3, 3, 3), mode="replicate"), 7, stride=1)


def test_the_sharper_source_has_the_weight_in_each_half() -> None:
    sharp = texture()
    left = torch.cat((sharp[..., :48], blurred(sharp)[..., 48:]), dim=-1)
    right = torch.cat((blurred(sharp)[..., :48], sharp[..., 48:]), dim=-1)
    weights = SharpestProposer(SharpestConfig())((left, right)).weights
    assert weights[:, 0, :, :38].min() > 0.95
    assert weights[:, 1, :, 58:].min() > 0.95
    assert torch.allclose(weights.sum(dim=1), torch.ones(1, 64, 96))


def test_flat_sources_have_equal_weights() -> None:
    flat = torch.full((2, 1, 20, 20), 0.4)
    for proposer in (SharpestProposer(SharpestConfig()), WellExposedProposer(WellExposedConfig())):
        weights = proposer((flat, flat, flat)).weights
        assert torch.allclose(weights, torch.full((2, 3, 20, 20), 1 / 3), atol=1e-5)


def test_the_power_is_the_exponent_of_the_energies() -> None:
    strong, weak = texture(), 0.5 * texture()  # the energies differ by a factor of 4 everywhere
    weights = SharpestProposer(SharpestConfig(power=2.0))((strong, weak)).weights
    assert torch.allclose(weights[:, 0], torch.full((1, 64, 96), 16 / 17), atol=1e-3)


def test_exposure_decides_where_contrast_is_left_out() -> None:
    dark, middle = torch.full((1, 1, 32, 32), 0.1), torch.full((1, 1, 32, 32), 0.5)
    weights = WellExposedProposer(WellExposedConfig(contrast=0.0))((dark, middle)).weights
    expected = math.exp(-(0.4**2) / (2 * 0.2**2))
    assert torch.allclose(weights[:, 0], torch.full((1, 32, 32), expected / (1 + expected)), atol=1e-5)


def test_contrast_decides_between_equally_exposed_sources() -> None:
    detailed, flat = 0.5 + 0.1 * (texture() - 0.5), torch.full((1, 1, 64, 96), 0.5)
    weights = WellExposedProposer(WellExposedConfig())((detailed, flat)).weights
    assert weights[:, 0].min() > 0.95


@pytest.mark.parametrize("sigma", [0.1, 1.0, 3.0, 20.0])
def test_a_blurred_constant_stays_constant_whatever_the_window(sigma: float) -> None:
    image = torch.full((1, 2, 9, 40), 0.3)
    assert torch.allclose(_blurred(image, sigma), image, atol=1e-6)
