"""ReFusion's networks: both orders of arithmetic, against torch's own operations and each other."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from fusekit.interfaces import BuildContext
from fusekit_refusion.arithmetic import ORDERS, Order
from fusekit_refusion.config import NetworkConfig, ProposerConfig, ReconstructionConfig
from fusekit_refusion.network import FusionNetwork
from fusekit_refusion.proposer import LossProposalModule
from fusekit_refusion.reconstruction import ReconstructionModule

TINY = {"channels": 4, "heads": 2, "blocks": 1}


@pytest.mark.parametrize("order", ["fused", "released"])
def test_norm_is_layer_norm_over_channels(order: Order) -> None:
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    weight, bias = torch.randn(2, 6, dtype=torch.float64)
    expected = F.layer_norm(x.movedim(1, -1), (6,), weight, bias, 1e-5).movedim(-1, 1)
    torch.testing.assert_close(ORDERS[order].norm(x, weight, bias), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", ["fused", "released"])
def test_attention_is_torchs_attention_of_normalised_channels(order: Order) -> None:
    q, k, v = torch.randn(3, 2, 6, 5, 7, dtype=torch.float64)
    temperature, out = torch.rand(3, 1, 1, dtype=torch.float64), torch.randn(6, 6, 1, 1, dtype=torch.float64)
    heads = [x.reshape(2, 3, 2, 35) for x in (q, k, v)]
    normal = [F.normalize(x, dim=-1) for x in heads[:2]]
    # The temperature of a head scales its queries; torch's own scale is switched off.
    attended = F.scaled_dot_product_attention(normal[0] * temperature, normal[1], heads[2], scale=1.0)
    expected = F.conv2d(attended.reshape(2, 6, 5, 7), out)
    found = ORDERS[order].attend(q, k, v, temperature, out)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_black_images_have_finite_first_and_second_derivatives() -> None:
    q = torch.zeros(1, 4, 3, 3, requires_grad=True)
    temperature, out = torch.ones(2, 1, 1), torch.randn(4, 4, 1, 1)
    image = ORDERS["fused"].attend(q, q, q + 1, temperature, out)
    (first,) = torch.autograd.grad(image.square().sum(), q, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), q)
    assert bool(torch.isfinite(first).all())
    assert bool(torch.isfinite(second).all())


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_orders_agree_in_value_and_gradient(memory: torch.memory_format) -> None:
    torch.manual_seed(0)
    fused = FusionNetwork(NetworkConfig(**TINY)).double()
    released = FusionNetwork(NetworkConfig(**TINY, arithmetic="released")).double()
    released.load_state_dict(fused.state_dict())
    sources = tuple(torch.rand(2, 1, 17, 22, dtype=torch.float64).contiguous(memory_format=memory) for _ in range(2))
    images = [network(sources).image for network in (fused, released)]
    torch.testing.assert_close(images[0], images[1], rtol=1e-10, atol=1e-12)
    slopes = [
        torch.autograd.grad(image.square().mean(), list(network.parameters()))
        for image, network in zip(images, (fused, released), strict=True)
    ]
    for one, other in zip(*slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


def test_proposer_and_reconstruction_take_any_number_of_sources() -> None:
    context = BuildContext(roles=("under", "middle", "over"))
    sources = tuple(torch.rand(2, 1, 16, 19) for _ in range(3))
    weights = LossProposalModule(ProposerConfig(**TINY), context)(sources).weights
    assert weights.shape == (2, 3, 16, 19)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, 16, 19))
    rebuilt = ReconstructionModule(ReconstructionConfig(**TINY), context)(sources[0])
    assert [image.shape for image in rebuilt] == [sources[0].shape] * 3


def test_the_reconstruction_module_is_near_the_fusion_module_in_size() -> None:
    context = BuildContext(roles=("infrared", "visible"))
    count = sum(p.numel() for p in ReconstructionModule(ReconstructionConfig(), context).parameters())
    assert count == 55_272
