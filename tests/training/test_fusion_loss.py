"""The fusion loss: known values, and its gradients against finite differences in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fusekit.interfaces import BuildContext, ComponentRef, LossProposal
from fusekit.model.assembly import Builder
from fusekit.training.fusion_loss import FusionLoss, gradient_strength, sobel
from fusekit_uaafusion.attribution import AttributionProposer, TaskGuidance
from fusekit_uaafusion.config import StageConfig, UnfoldingConfig
from fusekit_uaafusion.stage import AttributionStage
from fusekit_uaafusion.unfolding import UnfoldingBackbone
from tests.networks import ROLES, TinySegmenter, scene


def loss(**gradient: Any) -> FusionLoss:
    """The papers' two terms, with options of the gradient."""
    terms = [ComponentRef(use="losses.intensity"), ComponentRef(use="losses.gradient", params=gradient)]
    return FusionLoss(terms, Builder(ROLES, None).context)


def test_weight_stands_inside_the_square() -> None:
    sources = (torch.full((1, 1, 16, 16), 1.0), torch.full((1, 1, 16, 16), 0.0))
    weights = torch.cat([torch.full((1, 1, 16, 16), 0.75), torch.full((1, 1, 16, 16), 0.25)], dim=1)
    terms = loss()(torch.full((1, 1, 16, 16), 0.5), sources, LossProposal(weights)).terms
    assert terms["intensity"].item() == pytest.approx((0.75 * 0.5) ** 2 + (0.25 * 0.5) ** 2)


def test_sobel_of_a_ramp_and_zero_padding() -> None:
    ramp = torch.arange(8.0).repeat(8, 1)[None, None]
    x, y = sobel(ramp)
    assert torch.equal(x[..., 1:-1, 1:-1], torch.full((1, 1, 6, 6), 8.0))
    assert torch.equal(y[..., 1:-1, 1:-1], torch.zeros(1, 1, 6, 6))
    # Zero padding 1: at the left border the neighbour outside is 0, below and above too.
    assert x[0, 0, 0, 0].item() == pytest.approx(2 * 1 + 1 * 1)
    assert torch.equal(gradient_strength(ramp), x.abs() + y.abs())


def test_perfect_fusion_of_equal_sources_costs_nothing() -> None:
    image = torch.rand(2, 1, 16, 16)
    weights = torch.full((2, 2, 16, 16), 0.5)
    for form in ("strength", "signed"):
        assert loss(form=form)(image, (image, image), LossProposal(weights)).total.item() == 0.0


def test_signed_form_follows_the_larger_response_with_its_sign() -> None:
    edge = torch.zeros(1, 1, 16, 16)
    edge[..., 8:] = 0.5
    weights = torch.full((1, 2, 16, 16), 0.5)
    flat = torch.zeros_like(edge)
    same = loss(form="signed")(edge, (edge, flat), LossProposal(weights)).terms["gradient"]
    opposite = loss(form="signed")(0.5 - edge, (edge, flat), LossProposal(weights)).terms["gradient"]
    assert same.item() == 0.0
    assert opposite.item() > 0.1


def attribution_loss(
    backbone: UnfoldingBackbone, task: TinySegmenter, sources: tuple[Tensor, ...], labels: Tensor
) -> Tensor:
    """What the joint strategy minimises, attribution and guidance included."""
    guidance = TaskGuidance(task, sources, labels)
    proposal = AttributionProposer()(sources, guidance=guidance)
    fused = backbone(sources, guidance=guidance).image
    segmentation = torch.stack([task.loss(task(image), labels) for image in (fused, *sources)]).mean()
    return loss()(fused, sources, proposal).total + 0.1 * segmentation


def test_gradients_of_the_attribution_loss_by_finite_differences() -> None:
    """Float64, a tiny network. Attribution and attention are detached, so they are held fixed while a
    parameter of the fusion network is moved: its gradient must be the whole change of the loss."""
    torch.manual_seed(0)
    (sources, labels), task = scene(batch=2, height=16, width=16, dtype=torch.float64), TinySegmenter().double()
    context = BuildContext(roles=ROLES, builder=lambda k, r: AttributionStage(StageConfig(channels=2)))
    # One stage: the attention of a later one depends on f through a detached term.
    backbone = UnfoldingBackbone(UnfoldingConfig(stages=1, channels=2), context).double()
    loss = attribution_loss(backbone, task, sources, labels)
    names, parameters = zip(*[(n, p) for n, p in backbone.named_parameters() if p.requires_grad], strict=True)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    checked, step = 0, 1e-5
    for name, parameter, gradient in zip(names, parameters, gradients, strict=True):
        if gradient is None:  # the memory of the last stage leads nowhere
            assert "memory" in name
            continue
        index = int(gradient.abs().argmax())
        flat = parameter.data.view(-1)
        original = flat[index].item()
        values = []
        for sign in (1, -1):
            flat[index] = original + sign * step
            values.append(attribution_loss(backbone, task, sources, labels).item())
        flat[index] = original
        numeric = (values[0] - values[1]) / (2 * step)
        assert gradient.view(-1)[index].item() == pytest.approx(numeric, rel=1e-5, abs=2e-10), name
        checked += 1
    assert checked >= 10


def test_nothing_is_differentiated_through_the_attribution() -> None:
    (sources, labels), task = scene(), TinySegmenter()
    weights = AttributionProposer()(sources, guidance=TaskGuidance(task, sources, labels)).weights
    assert not weights.requires_grad
