"""Meta-learning: who changes when, streams, rules, resume, divergence, precision."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusekit.interfaces import Batch, BuildContext, TaskNetwork
from fusekit.model.system import FusionSystem
from fusekit.training.checkpoint import CheckpointFolder
from fusekit.training.updater import NonFiniteError
from fusekit_refusion.config import ProposerConfig
from fusekit_refusion.meta import Shown, mixture
from fusekit_refusion.proposer import LossProposalModule
from fusekit_tasks.config import SmpConfig
from fusekit_tasks.segmentation import SmpSegmenter
from tests.networks import ROLES, class_table
from tests.refusion.tiny import SIZE, Scenes, context, system, trainer

TASK = {"objective": {"use": "refusion.task"}}


def segmenter() -> TaskNetwork:
    """A network with batch norm and dropout, whose state is easily left behind."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return SmpSegmenter(SmpConfig(), BuildContext(roles=ROLES, classes=class_table(4)))


def changed(before: dict[str, Tensor], parts: FusionSystem) -> set[str]:
    return {n.partition(".")[0] for n, value in parts.state_dict().items() if not torch.equal(before[n], value)}


def state(parts: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(parts.state_dict())


def test_an_epoch_is_rounds_and_then_a_pass() -> None:
    made, _ = trainer(system())
    assert [step.name for step in made.plan] == ["round", "round", "fusion", "fusion", "fusion"]
    assert made.plan[0].draws == ("meta_train", "meta_test")
    own, _ = trainer(system(), options={"evaluator_batches": "own"})
    assert [step.draws for step in own.plan[1:3]] == [("meta_train", "meta_test", "evaluator"), ("fusion", "evaluator")]


def test_rounds_alternate_with_the_pass() -> None:
    made, _ = trainer(system(), options={"order": "alternated", "inner": "minimiser"})
    assert [step.name for step in made.plan] == ["fusion", "round", "fusion", "round", "fusion"]
    assert made.plan[1].draws == ("meta_train",)


def test_streams_go_on_where_they_were() -> None:
    data, evaluated = Scenes(size=16), Scenes(size=24)
    made, _ = trainer(system(), data, options={"evaluator_batches": "own"}, streams={"evaluator": evaluated})
    made.fit()
    drawn: dict[str, list[int]] = {}
    for stream, epoch, index in data.asked + evaluated.asked:
        drawn.setdefault(stream.removeprefix("train/"), []).append(3 * epoch + index)
    assert drawn == {
        "meta_train": [0, 1, 2, 3],
        "meta_test": [0, 1, 2, 3],
        "fusion": [0, 1, 2, 3, 4, 5],
        "evaluator": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    }


@pytest.mark.parametrize(
    "options",
    [{}, TASK, {"inner_steps": 2}, {"inner": "image"}, {"inner": "minimiser", "mixtures": "local", "exchange": True}],
)
def test_a_round_changes_the_proposer_alone(options: dict[str, Any]) -> None:
    parts = system(task=segmenter())
    before = state(parts)
    trainer(parts, Scenes(size=32), options=options, max_steps=1)[0].fit()
    assert changed(before, parts) == {"proposer"}


def test_the_evaluator_may_keep_its_step() -> None:
    for options, evaluator in (({}, "reconstruction"), (TASK, "task")):
        parts = system(task=segmenter())
        before = state(parts)
        trainer(parts, Scenes(size=32), options={"restore_evaluator": False, **options}, max_steps=1)[0].fit()
        assert changed(before, parts) == {"proposer", evaluator}


def test_the_pass_changes_fusion_and_evaluator_and_lets_the_proposer_rest() -> None:
    for options, evaluator in (({}, "reconstruction"), (TASK, "task")):
        parts = system(task=segmenter())
        made, strategy = trainer(parts, Scenes(size=32), options=options)
        strategy.setup(made)
        before = state(parts)
        strategy.step(made.plan[-1], [made.data.batch("x", 0, 0)])
        assert changed(before, parts) == {"backbone", evaluator}
        assert all(weight.grad is None for weight in parts.parameters())


def test_a_frozen_evaluator_evaluates_and_stays() -> None:
    frozen = segmenter().requires_grad_(False)
    parts = system(task=frozen)
    before = state(parts)
    trainer(parts, Scenes(size=32), options=TASK)[0].fit()
    assert changed(before, parts) == {"backbone", "proposer"}


def test_the_normalised_rule_moves_the_largest_weight_by_the_rate() -> None:
    for rate, outer in ((1e-3, 1.0), (1e-4, 5.0)):
        parts = system()
        assert parts.proposer is not None
        before = state(parts.proposer)
        options = {"outer_rule": "normalised", "outer_rate": outer}
        trainer(parts, options=options, optimiser={"lr": rate}, max_steps=1)[0].fit()
        moves = [float((w - before[n]).abs().max()) for n, w in parts.proposer.state_dict().items()]
        assert max(moves) == pytest.approx(rate * outer, rel=1e-3)
        assert min(moves) < 0.5 * rate * outer


@pytest.mark.parametrize(
    "options",
    [
        {},
        TASK,
        {"outer_rule": "normalised", "inner_steps": 2},
        {"inner": "minimiser", "mixtures": "local", "order": "alternated", "exchange": True},
    ],
)
def test_resume_is_bit_exact(options: dict[str, Any], tmp_path: Path) -> None:
    common: dict[str, Any] = {"options": options, "checkpoint_every": 2, "seed": 5, "clip": 1.0}
    straight = system(task=segmenter())
    trainer(straight, Scenes(size=32), folder=tmp_path / "a", **common)[0].fit()
    first = system(task=segmenter())
    trainer(first, Scenes(size=32), folder=tmp_path / "b", **common)[0].fit(stop_after=4)  # inside the first pass
    second = system(seed=99)
    second.task = segmenter()
    trainer(second, Scenes(size=32), folder=tmp_path / "b", **common)[0].fit(resume=True)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_log_holds_inner_outer_and_fusion_losses(tmp_path: Path) -> None:
    trainer(system(), folder=tmp_path)[0].fit()
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert set(records[0]["losses"]) == {"inner", "outer"}
    assert set(records[2]["losses"]) == {"fusion", "intensity", "gradient", "reconstruction"}


class Dark(Scenes):
    """A pixel of the third batch is not a number."""

    def batch(self, stream: str, epoch: int, index: int) -> Batch:
        found = super().batch(stream, epoch, index)
        if stream.endswith("meta_test") and index == 1:
            found.sources[0][0, 0, 0, 0] = math.nan
        return found


def test_nan_stops_with_the_step_and_a_saved_state(tmp_path: Path) -> None:
    parts = system()
    with pytest.raises(NonFiniteError) as caught:
        trainer(parts, Dark(), folder=tmp_path)[0].fit()
    assert "step 2 (round)" in caught.value.message
    assert "reconstruction" in caught.value.message
    assert CheckpointFolder(tmp_path / "diverged" / "train").load() is not None
    assert all(bool(torch.isfinite(weight).all()) for weight in parts.parameters())


@pytest.mark.parametrize("options", [{}, TASK])
def test_bf16_trains(options: dict[str, Any], tmp_path: Path) -> None:
    found: dict[str, list[float]] = {}
    for precision in ("fp32", "bf16"):
        trainer(system(), folder=tmp_path / precision, options=options, precision=precision)[0].fit()
        records = map(json.loads, (tmp_path / precision / "metrics.jsonl").read_text().splitlines())
        found[precision] = [record["losses"].get("outer", record["losses"].get("fusion")) for record in records]
    assert len(found["bf16"]) == 10
    assert found["bf16"] == pytest.approx(found["fp32"], rel=0.05)
    assert found["bf16"] != pytest.approx(found["fp32"], rel=1e-6), "it has another precision"


def test_black_images_do_no_harm() -> None:
    class Black(Scenes):
        def batch(self, stream: str, epoch: int, index: int) -> Batch:
            found = super().batch(stream, epoch, index)
            for source in found.sources:
                source[0] = 0.0
            return found

    parts = system()
    trainer(parts, Black(), options={"inner_steps": 2})[0].fit()
    assert all(bool(torch.isfinite(weight).all()) for weight in parts.parameters())


def test_targets_keep_the_order_of_the_roles() -> None:
    """Sources are exchanged in the copy of a batch, what the evaluator is to recover from it is not."""
    batch = Scenes().batch("x", 0, 0)
    shown = Shown.both_ways(batch)
    first, second = batch.sources
    assert torch.equal(shown.sources[0], torch.cat([first, second]))
    assert torch.equal(shown.sources[1], torch.cat([second, first]))
    assert torch.equal(shown.targets.sources[0], torch.cat([first, first]))
    assert torch.equal(shown.targets.sources[1], torch.cat([second, second]))
    assert shown.batch.labels is not None
    assert shown.batch.ids == 2 * batch.ids


@pytest.mark.parametrize("kind", ["whole", "local"])
@pytest.mark.parametrize("count", [2, 3])
def test_a_mixture_lies_between_its_sources(kind: Any, count: int) -> None:
    torch.manual_seed(2)
    sources = tuple(torch.rand(4, 1, 32, 40) for _ in range(count))
    mixed, stacked = mixture(sources, kind), torch.stack(sources)
    assert bool((mixed >= stacked.amin(dim=0) - 1e-6).all() and (mixed <= stacked.amax(dim=0) + 1e-6).all())
    # The share of a black source among white ones is what a mixture lacks.
    black = (torch.zeros(4, 1, 32, 40), *(torch.ones(4, 1, 32, 40) for _ in range(count - 1)))
    within = mixture(black, kind).flatten(1).std(dim=1)
    assert bool((within < 1e-6).all()) if kind == "whole" else bool((within > 0.05).all())


def test_the_minimiser_is_where_the_intensity_loss_is_smallest() -> None:
    """Gradient descent on the pixels ends there; many steps of `inner: image` come close."""
    parts, batch = system(), Scenes().batch("x", 0, 0)
    assert parts.proposer is not None
    proposal = parts.proposer(batch.sources)
    found = []
    for options in ({"inner": "minimiser"}, {"inner": "image", "inner_steps": 60}):
        made, strategy = trainer(system(), options=options)
        strategy.setup(made)
        found.append(strategy.step_of_image(Shown(batch, batch), proposal)[1])
    assert torch.allclose(found[0], found[1], atol=1e-4)
    pixels = found[0].detach().requires_grad_()
    weights = proposal.weights.detach()
    loss = (weights * (torch.cat(batch.sources, dim=1) - pixels)).square().sum()
    assert float(torch.autograd.grad(loss, pixels)[0].abs().max()) < 1e-5


def test_the_evaluator_learns_from_the_image_after_the_fusion_update() -> None:
    parts = system()
    made, strategy = trainer(parts, optimiser={"lr": 1e-2})
    strategy.setup(made)
    made.updaters["fusion"].set_lr(1e-2)
    made.updaters["evaluator"].set_lr(0.0)
    batch = made.data.batch("x", 0, 0)
    record = strategy.step(made.plan[-1], [batch])
    with torch.no_grad():
        assert parts.reconstruction is not None
        parts.reconstruction.train()
        after = strategy.objective.loss(parts.reconstruction, parts.backbone(batch.sources).image, batch)
    assert record.losses["reconstruction"] == pytest.approx(after.total.item(), rel=1e-6)


@pytest.mark.parametrize("centred", [True, False])
def test_centred_scores_prefer_no_source_over_the_whole_image(centred: bool) -> None:
    torch.manual_seed(1)
    proposer = LossProposalModule(ProposerConfig(centred=centred, **SIZE), context())
    with torch.no_grad():
        weights = proposer((torch.rand(2, 1, 24, 24), torch.rand(2, 1, 24, 24))).weights
    preference = (weights[:, 0].log() - weights[:, 1].log()).mean(dim=(1, 2)).abs()
    assert bool((preference < 1e-5).all()) if centred else bool((preference > 1e-3).all())
