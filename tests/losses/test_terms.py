"""Loss terms: known values, the metrics of the same name as oracles, and gradients by finite differences."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fusekit.interfaces import ComponentRef, LossProposal, Metric, term_names
from fusekit.model.assembly import Builder
from fusekit.training.fusion_loss import FusionLoss

CONTEXT = Builder(("infrared", "visible"), None).context
TERMS = ("intensity", "brightest", "gradient", "edges", "ssim", "vif", "scd")


def term(name: str, **params: Any) -> Any:
    return CONTEXT.build("loss-term", ComponentRef(use=f"losses.{name}", params=params))


def scenes(count: int = 2, batch: int = 2, size: int = 48, seed: int = 0) -> tuple[Tensor, ...]:
    """Smooth random images of 8-bit levels."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, batch, 1, size // 4, size // 4, generator=generator)
    fine = torch.nn.functional.interpolate(coarse.flatten(0, 1), size=(size, size), mode="bicubic").clamp(0, 1)
    return tuple((fine.mul(255).round() / 255).view(count, batch, 1, size, size))


def equal(sources: tuple[Tensor, ...]) -> LossProposal:
    shares = torch.full_like(torch.cat(sources, dim=1), 1 / len(sources))
    return LossProposal(shares)


def measured(name: str, image: Tensor, sources: tuple[Tensor, ...]) -> float:
    """Mean of a metric over a batch of 8-bit images."""
    metric: Metric = CONTEXT.build("metric", ComponentRef(use=name))
    levels = [(picture * 255).round().to(torch.uint8)[:, 0] for picture in (image, *sources)]
    values = [metric.measure(levels[0][i], [source[i] for source in levels[1:]]).value for i in range(len(image))]
    return sum(values) / len(values)


def test_ssim_is_the_metrics() -> None:
    *sources, image = scenes(3)
    found = 2 - term("ssim")(image, tuple(sources), None).item()
    assert found == pytest.approx(measured("strict.ssim", image, tuple(sources)), abs=1e-5)


def test_scd_is_the_metrics() -> None:
    *sources, image = scenes(3)
    found = 2 - term("scd")(image, tuple(sources), None).item()
    assert found == pytest.approx(measured("strict.scd", image, tuple(sources)), abs=1e-5)


def test_edges_follow_qabf() -> None:
    """The metric does not wrap angles and the term does, so they differ a little; their order is the same."""
    first, second, noise = scenes(3)
    images = [torch.maximum(first, second), (first + second) / 2, noise]
    found = [1 - term("edges")(image, (first, second), None).item() for image in images]
    wanted = [measured("strict.qabf", image, (first, second)) for image in images]
    assert found == pytest.approx(wanted, abs=0.06)
    assert sorted(range(3), key=found.__getitem__) == sorted(range(3), key=wanted.__getitem__)


def test_vif_follows_the_metric() -> None:
    """The more noise, the less of a source is kept; nothing is lost of an image itself."""
    first, noise = scenes()
    images = [(1 - share) * first + share * noise for share in (0.0, 0.1, 0.2, 0.4)]
    found = [term("vif")(image, (first, first), None).item() for image in images]
    wanted = [measured("strict.vif", image, (first, first)) for image in images]
    assert found == sorted(found)
    assert wanted == sorted(wanted, reverse=True)
    assert found[0] == pytest.approx(0, abs=1e-4)


def test_brightest_and_gradient_of_the_maximum() -> None:
    first, second = scenes()
    maximum = torch.maximum(first, second)
    assert term("brightest")(maximum, (first, second), None).item() == 0
    assert term("brightest", norm="l2")(maximum + 0.5, (first, second), None).item() == pytest.approx(0.25)
    flat = torch.zeros_like(first)
    for form in ("strength", "signed"):
        assert term("gradient", form=form)(first, (first, flat), None).item() == 0
        assert term("gradient", form=form, gain=1.25)(1.25 * first, (first, flat), None).item() < 1e-6
        assert term("gradient", form=form, gain=1.25)(first, (first, flat), None).item() > 1e-3


def test_l1_of_the_proposed_intensity_is_a_weighted_mean() -> None:
    ones, zeros = torch.ones(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    shares = LossProposal(torch.cat([0.75 * ones, 0.25 * ones], dim=1))
    assert term("intensity", norm="l1")(0.5 * ones, (ones, zeros), shares).item() == pytest.approx(0.5)


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("count", [2, 3])
def test_gradient_is_that_of_finite_differences(name: str, count: int) -> None:
    """In float64, for two and for three sources."""
    *sources, image = (picture.double() * 0.8 + 0.1 for picture in scenes(count + 1, batch=1, size=24, seed=3))
    if name == "intensity":
        proposal: LossProposal | None = equal(tuple(sources))
    else:
        proposal = None
    image = (image + 0.01 * torch.rand(image.shape, generator=torch.Generator().manual_seed(1))).requires_grad_()
    made = term(name)
    (gradient,) = torch.autograd.grad(made(image, tuple(sources), proposal), image)
    direction = torch.rand(image.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64) - 0.5
    step = 1e-6
    with torch.no_grad():
        ahead = made(image + step * direction, tuple(sources), proposal)
        behind = made(image - step * direction, tuple(sources), proposal)
    slope = ((ahead - behind) / (2 * step)).item()
    assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", TERMS)
def test_a_batch_costs_the_mean_of_its_images(name: str) -> None:
    first, second, image = scenes(3, batch=3)
    sources = (first, second)
    made, proposal = term(name), equal(sources)
    alone = [
        made(image[i : i + 1], (first[i : i + 1], second[i : i + 1]), LossProposal(proposal.weights[i : i + 1])).item()
        for i in range(3)
    ]
    assert made(image, sources, proposal).item() == pytest.approx(sum(alone) / 3, rel=1e-4)


def test_flat_images_have_finite_gradients() -> None:
    flat = torch.full((1, 1, 32, 32), 0.5)
    for name in TERMS:
        image = flat.clone().requires_grad_()
        value = term(name)(image, (flat, flat), equal((flat, flat)))
        (gradient,) = torch.autograd.grad(value, image)
        assert bool(gradient.isfinite().all()), name
        assert bool(value.isfinite()), name


def test_the_loss_is_the_weighted_sum_of_its_terms_by_name() -> None:
    refs = [
        ComponentRef(use="losses.brightest", params={"weight": 2.0}),
        ComponentRef(use="losses.gradient"),
        ComponentRef(use="losses.gradient", params={"form": "signed", "weight": 0.5}),
    ]
    *sources, image = scenes(3)
    loss = FusionLoss(refs, CONTEXT)(image, tuple(sources), None)
    assert list(loss.terms) == term_names(refs) == ["brightest", "gradient", "gradient_2"]
    values = [value.item() for value in loss.terms.values()]
    assert loss.total.item() == pytest.approx(2 * values[0] + values[1] + 0.5 * values[2])
