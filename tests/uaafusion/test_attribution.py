"""Region attribution against captum, against finite differences, and its manners."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from fusekit.interfaces import BuildContext
from fusekit_tasks.config import SmpConfig
from fusekit_tasks.segmentation import SmpSegmenter
from fusekit_uaafusion.attribution import StraightPath, TaskGuidance, UnfoldingPath
from fusekit_uaafusion.config import StraightPathConfig, UnfoldingPathConfig
from tests.networks import TinySegmenter, class_table, scene


def loop_over_everything(net: torch.nn.Module, image: Tensor, labels: Tensor, steps: int) -> Tensor:
    """The definition, word by word: one image, class and path point at a time; (B, K)."""
    scores = torch.zeros(image.shape[0], len(net.classes), dtype=image.dtype)
    for b in range(image.shape[0]):
        one = image[b : b + 1]
        for c in labels[b].unique().tolist():
            if c >= scores.shape[1]:
                continue
            region = labels[b] == c
            for k in range(1, steps + 1):
                x = (one * k / steps).requires_grad_()
                score = net(x)[0, c][region].mean()
                (gradient,) = torch.autograd.grad(score, x)
                scores[b, c] += (gradient * one)[0, 0][region].mean() / steps
    return scores.relu()


def test_equals_the_definition() -> None:
    (sources, labels), net = scene(batch=3), TinySegmenter()
    labels[0, :8] = 255
    for megapixels in (1e-9, 0.005, 1.0):  # a point at a time, two, all
        ours = TaskGuidance(net, sources, labels, megapixels=megapixels).attribution().scores
        for index, source in enumerate(sources):
            expected = loop_over_everything(net, source, labels, steps=5)
            torch.testing.assert_close(ours[:, index], expected, rtol=1e-5, atol=1e-9)


def test_against_captum() -> None:
    captum_attr = pytest.importorskip("captum.attr")
    (sources, labels), net = scene(batch=1, dtype=torch.float64), TinySegmenter().double()
    steps = 6
    ours = TaskGuidance(net, sources, labels, pathway=StraightPath(StraightPathConfig(steps=steps))).attribution()
    for index, source in enumerate(sources):
        for c in labels.unique().tolist():
            region = labels[0] == c

            def score(x: Tensor, c: int = c, region: Tensor = region) -> Tensor:
                return net(x)[:, c][:, region].mean(dim=1)

            attributed = captum_attr.IntegratedGradients(score).attribute(
                source, torch.zeros_like(source), n_steps=steps, method="riemann_right"
            )
            expected = attributed[0, 0][region].mean().relu()
            # captum's steps are float32 numbers.
            torch.testing.assert_close(ours.scores[0, index, c], expected, rtol=1e-6, atol=1e-15)


def test_is_the_directional_derivative_by_finite_differences() -> None:
    """One path point: the contribution of a region is the derivative of its score along its own pixels."""
    (sources, labels), net = scene(batch=1, dtype=torch.float64), TinySegmenter().double()
    ours = TaskGuidance(net, sources, labels, pathway=StraightPath(StraightPathConfig(steps=1))).attribution()
    source, step = sources[0], 1e-5
    for c in labels.unique().tolist():
        region = labels[0] == c
        direction = source * region

        def score(x: Tensor, c: int = c, region: Tensor = region) -> Tensor:
            with torch.no_grad():
                return net(x)[0, c][region].mean()

        rise = score(source + step * direction) - score(source - step * direction)
        numeric = rise / (2 * step) / region.sum()
        torch.testing.assert_close(ours.scores[0, 0, c], numeric.relu(), rtol=1e-6, atol=1e-12)


def test_unfolding_path_is_complete_in_the_limit() -> None:
    """With one region, contributions times its size sum to s(I) - s(f_0)."""
    sources, labels = scene(batch=1, classes=1, dtype=torch.float64)
    net = TinySegmenter(classes=1).double()
    pathway = UnfoldingPath(UnfoldingPathConfig(steps=600, step_length=0.02))
    start = (sources[0] + sources[1]) / 2
    with torch.no_grad():
        gains = [float(net(s).mean() - net(start).mean()) for s in sources]
    attributed = TaskGuidance(net, sources, labels, pathway=pathway).attribution().scores * labels.numel()
    for index, gain in enumerate(gains):
        assert attributed[0, index, 0].item() == pytest.approx(max(gain, 0.0), rel=0.02, abs=1e-9)


def test_batch_scope_is_the_released_behaviour() -> None:
    """Class means over the whole batch: one value per class for all images that have it."""
    (sources, labels), net = scene(batch=2, classes=3), TinySegmenter()
    labels[1][labels[1] == 2] = 1  # class 2 occurs in the first image only
    labels[0, 0, 0] = 2
    ours = TaskGuidance(net, sources, labels, scope="batch").attribution().scores
    source = sources[0]
    for c in labels.unique().tolist():
        region = labels == c
        total = 0.0
        for k in range(1, 6):
            x = (source * k / 5).requires_grad_()
            (gradient,) = torch.autograd.grad(net(x)[:, c][region].mean(), x)
            total += float((gradient * source)[:, 0][region].mean()) / 5
        for b in range(2):
            expected = max(total, 0.0) if bool((labels[b] == c).any()) else 0.0
            assert ours[b, 0, c].item() == pytest.approx(expected, rel=1e-4, abs=1e-10)


def test_leaves_the_network_as_it_was() -> None:
    net = SmpSegmenter(SmpConfig(architecture="unet", encoder="resnet18"), BuildContext(classes=class_table(4)))
    net.train()
    next(net.parameters()).requires_grad_(False)
    modes = [m.training for m in net.modules()]
    flags = [p.requires_grad for p in net.parameters()]
    before = copy.deepcopy(net.state_dict())
    sources, labels = scene(batch=2, height=32, width=32)
    random_state = torch.get_rng_state()
    guidance = TaskGuidance(net, sources, labels)
    guidance.attribution()
    guidance.task_gradient(sources[0])
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [m.training for m in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()] == flags
    assert all(p.grad is None for p in net.parameters())
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_is_computed_once_whoever_asks() -> None:
    calls = 0

    class Counting(TinySegmenter):
        def forward(self, image: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            return super().forward(image)

    sources, labels = scene()
    guidance = TaskGuidance(Counting(), sources, labels)
    assert guidance.attribution() is guidance.attribution()
    once = calls
    guidance.attribution()
    assert calls == once


def test_without_labels_the_prediction_on_the_mean_defines_the_regions() -> None:
    sources, _ = scene()
    net = TinySegmenter()
    with torch.no_grad():
        predicted = net((sources[0] + sources[1]) / 2).argmax(dim=1)
    guidance = TaskGuidance(net, sources)
    assert torch.equal(guidance.attribution().regions, predicted)
    expected = TaskGuidance(net, sources, predicted).attribution().scores
    torch.testing.assert_close(guidance.attribution().scores, expected)


def test_task_gradient_by_finite_differences() -> None:
    (sources, labels), net = scene(batch=2, height=16, width=16, dtype=torch.float64), TinySegmenter().double()
    image, step = sources[0], 1e-6
    mask = torch.nn.functional.one_hot(labels, 9).permute(0, 3, 1, 2)
    for scope in ("image", "batch"):
        gradient = TaskGuidance(net, sources, labels, scope=scope).task_gradient(image)  # type: ignore[arg-type]

        def score(x: Tensor, scope: str = scope) -> float:
            with torch.no_grad():
                weighted = mask * net(x)
            return float(weighted.mean() if scope == "batch" else weighted.mean(dim=(1, 2, 3)).sum())

        for b, y, x in ((0, 3, 4), (1, 15, 0)):
            bump = torch.zeros_like(image)
            bump[b, 0, y, x] = step
            numeric = (score(image + bump) - score(image - bump)) / (2 * step)
            assert gradient[b, 0, y, x].item() == pytest.approx(numeric, rel=1e-6, abs=1e-12)


def test_maps_agree_with_scores() -> None:
    (sources, labels), net = scene(), TinySegmenter()
    labels[0, 0] = 255
    found = TaskGuidance(net, sources, labels).attribution()
    torch.testing.assert_close(found.total(), found.per_class().sum(dim=2))
    assert torch.equal(found.total()[0, :, 0], torch.zeros(2, labels.shape[2]))
