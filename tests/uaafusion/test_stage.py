"""The unfolding stage and backbone: each switch does what it says."""

from __future__ import annotations

import pytest
import torch

from fusekit.errors import UsageError
from fusekit.interfaces import BuildContext, UnfoldingState
from fusekit_uaafusion.attribution import AttributionProposer, TaskGuidance, UnfoldingPath
from fusekit_uaafusion.blocks import ConvLSTM
from fusekit_uaafusion.config import StageConfig, UnfoldingConfig, UnfoldingPathConfig
from fusekit_uaafusion.stage import AttributionStage
from fusekit_uaafusion.unfolding import UnfoldingBackbone
from tests.networks import ROLES, TinySegmenter, scene


def context(**stage: object) -> BuildContext:
    return BuildContext(roles=ROLES, builder=lambda kind, ref: AttributionStage(StageConfig(**{**ref.params, **stage})))


def backbone(stages: int = 3, channels: int = 4, **stage: object) -> UnfoldingBackbone:
    torch.manual_seed(0)
    return UnfoldingBackbone(UnfoldingConfig(stages=stages, channels=channels), context(channels=channels, **stage))


def first_state(images: torch.Tensor, features: torch.Tensor) -> UnfoldingState:
    weights = torch.full((images.shape[0], 2, *images.shape[2:]), 0.5)
    return UnfoldingState(images, None, weights, memory={"long": features, "short": features})


def test_output_is_an_image_of_the_size_of_the_sources_at_odd_sizes() -> None:
    for height, width in ((16, 16), (17, 31)):
        sources = (torch.rand(2, 1, height, width), torch.rand(2, 1, height, width))
        output = backbone()(sources)
        assert output.image.shape == sources[0].shape
        assert output.image.min() >= 0
        assert output.image.max() <= 1
        assert len(output.stages) == 4
        assert torch.equal(output.stages[0], (sources[0] + sources[1]) / 2)


def test_attention_is_the_running_mean_of_gradient_times_change() -> None:
    """Three stages by hand: zero, g1 d1, (g1 d1 + g2 d2) / 2."""
    (sources, labels), net = scene(batch=1), TinySegmenter()
    guidance = TaskGuidance(net, sources, labels)
    stage = AttributionStage(StageConfig(channels=4))
    features = torch.rand(1, 4, *sources[0].shape[2:])
    states = [first_state(sources[0], features)]
    for _ in range(3):
        states.append(stage(states[-1], sources, guidance))
    images = [s.fused for s in states]
    terms = [guidance.task_gradient(images[k]) * (images[k] - images[k - 1]) for k in (1, 2)]
    assert torch.equal(states[1].memory["attention"], torch.zeros_like(images[0]))
    torch.testing.assert_close(states[2].memory["attention"], terms[0])
    torch.testing.assert_close(states[3].memory["attention"], (terms[0] + terms[1]) / 2)


def test_gradient_step_moves_towards_the_weighted_sources_only_when_switched_on() -> None:
    torch.manual_seed(1)
    sources = (torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16))
    features = torch.rand(1, 4, 16, 16)
    state = first_state(torch.full((1, 1, 16, 16), 0.5), features)
    first_only = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 16, 16)
    darker = UnfoldingState(state.fused, None, first_only, 0, state.memory)
    for gradient_step, differs in ((True, True), (False, False)):
        torch.manual_seed(2)
        stage = AttributionStage(StageConfig(channels=4, gradient_step=gradient_step, alpha=0.5))
        changed = not torch.equal(stage(state, sources).fused, stage(darker, sources).fused)
        assert changed is differs


def test_convlstm_first_step_has_no_tanh_on_the_cell() -> None:
    torch.manual_seed(0)
    cell, x = ConvLSTM(2), torch.rand(1, 2, 8, 8)
    f, i, o, j = cell.of_input(x).chunk(4, dim=1)
    h, c = cell(x, None, None)
    torch.testing.assert_close(c, i.sigmoid() * j.tanh())
    torch.testing.assert_close(h, o.sigmoid() * c)
    f, i, o, j = (cell.of_input(x) + cell.of_state(h)).chunk(4, dim=1)
    h2, c2 = cell(x, h, c)
    torch.testing.assert_close(c2, f.sigmoid() * c + i.sigmoid() * j.tanh())
    torch.testing.assert_close(h2, o.sigmoid() * c2.tanh())


def test_an_image_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    sources, labels = scene(batch=3)
    net, model = TinySegmenter(), backbone()
    with torch.no_grad():
        together = model(sources, guidance=TaskGuidance(net, sources, labels))
        alone_sources = tuple(s[1:2] for s in sources)
        alone = model(alone_sources, guidance=TaskGuidance(net, alone_sources, labels[1:2]))
    torch.testing.assert_close(together.image[1:2], alone.image)
    torch.testing.assert_close(together.weights[1:2], alone.weights)


def test_shared_stages_have_the_weights_of_one() -> None:
    shared = UnfoldingBackbone(UnfoldingConfig(stages=3, channels=4, share_stages=True), context(channels=4))
    assert len(shared.stages) == 1
    assert len(shared(scene()[0]).stages) == 4


def test_channels_that_sources_cannot_share_are_refused() -> None:
    with pytest.raises(ValueError, match="5 channels cannot be divided equally between 2 sources"):
        UnfoldingBackbone(UnfoldingConfig(channels=5), context())


def test_unfolding_path_ends_at_the_source_and_its_increments_lead_there() -> None:
    sources, _ = scene()
    path = UnfoldingPath(UnfoldingPathConfig(steps=4, step_length=0.3)).path(sources, 1)
    start = (sources[0] + sources[1]) / 2
    torch.testing.assert_close(path.points[-1], sources[1])
    torch.testing.assert_close(path.increments.sum(dim=0), sources[1] - start)
    # Each iterate but the last goes the same share of what is left.
    torch.testing.assert_close(path.points[0], start + 0.3 * (sources[1] - start))


def test_proposal_weights_sum_to_one_and_are_equal_where_nothing_is_attributed() -> None:
    sources, labels = scene()
    labels[0] = 255  # an image without any region
    weights = AttributionProposer()(sources, guidance=TaskGuidance(TinySegmenter(), sources, labels)).weights
    torch.testing.assert_close(weights.sum(dim=1), torch.ones_like(labels, dtype=torch.float32))
    assert torch.equal(weights[0], torch.full_like(weights[0], 0.5))
    assert not torch.equal(weights[1], torch.full_like(weights[1], 0.5))


def test_proposer_without_task_network_says_so() -> None:
    with pytest.raises(UsageError, match="needs a guidance with region attributions"):
        AttributionProposer()(scene()[0])
