"""What the task network says about a batch is computed once in a step, whoever asks and however often."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from fusekit.interfaces import (
    Batch,
    Guidance,
    LossProposal,
    LossProposer,
    Sources,
    StepPlan,
    StepRecord,
    Strategy,
    TrainingContext,
)
from fusekit.model.system import FusionSystem
from fusekit.recipe.schema import TrainSection
from fusekit.training.trainer import Trainer
from fusekit.training.updater import NonFiniteError
from fusekit_uaafusion import attribution as guidance_module
from fusekit_uaafusion.attribution import attribution_weights
from tests.golden.curves import CASES, NumberedBatches

pytestmark = pytest.mark.slow


class GuidedProposer(LossProposer):
    """Listens to the guidance, and has a weight to learn."""

    uses_guidance = True

    def __init__(self) -> None:
        super().__init__(None, None)
        self.sharpness = nn.Parameter(torch.ones(()))

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> LossProposal:
        assert guidance is not None
        return LossProposal((self.sharpness * attribution_weights(guidance)).softmax(dim=1))


def steps_of(case: str, **options: Any) -> tuple[FusionSystem, Strategy]:
    """A strategy with UAAFusion's backbone, which asks in every forward pass, and where it can a proposer that does."""
    system, strategy = CASES[case](**options)
    system.backbone = CASES["uaafusion.joint"]()[0].backbone
    if case.startswith("refusion"):
        system.proposer = GuidedProposer()
    return system, strategy


def section(**changes: Any) -> TrainSection:
    return TrainSection.model_validate({"strategy": {"use": "uaafusion.joint"}, **changes})


OWN = {"evaluator_batches": "own"}


@pytest.mark.parametrize(
    ("case", "options", "wanted"),
    [
        ("uaafusion.joint", {}, {"train": 1}),
        ("refusion.meta, sources", {"inner_steps": 2}, {"round": 2, "fusion": 1}),
        ("refusion.meta, sources", OWN, {"round": 3, "fusion": 2}),
        ("refusion.meta, task", {"evaluator_batches": "shared", "inner_steps": 3}, {"round": 2, "fusion": 1}),
        ("refusion.meta, task", {**OWN, "inner_steps": 2}, {"round": 3, "fusion": 2}),
        ("tasks.supervised", {}, {"train": 0}),
        ("termsearch.evolution", {"population": 5, "generations": 3, "trial_steps": 2}, {"search": 2, "fusion": 1}),
    ],
)
def test_a_batch_is_attributed_once_in_a_step(
    case: str, options: dict[str, Any], wanted: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    system, strategy = steps_of(case, **options)
    whole, calls, by_step = guidance_module.region_attribution, 0, {}

    def counted(*args: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        return whole(*args, **keywords)

    step = strategy.step

    def watched(plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        before = calls
        record = step(plan, batches)
        by_step.setdefault(plan.name, set()).add(calls - before)
        return record

    monkeypatch.setattr(guidance_module, "region_attribution", counted)
    monkeypatch.setattr(strategy, "step", watched)
    Trainer(system.double(), strategy, NumberedBatches(), section(), seed=1).fit()
    assert by_step == {name: {count} for name, count in wanted.items()}


class Asking(Strategy):
    """Asks, changes the task network, and asks again."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.heard: list[list[torch.Tensor]] = []
        self.batches: list[weakref.ref[Batch]] = []

    def setup(self, training: TrainingContext) -> None:
        assert training.task is not None
        self.training, self.task = training, training.task
        self.update = training.updater("task", training.task)

    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        batch = batches[0]
        self.batches.append(weakref.ref(batch))
        first = self.training.guidance(batch)
        assert first is not None
        scores = first.attribution().scores
        assert batch.labels is not None
        self.update(self.task.loss(self.task(batch.sources[0]), batch.labels))
        second = self.training.guidance(batch)
        assert second is first
        self.heard.append([scores, second.attribution().scores])
        if self.fails:
            raise NonFiniteError("so it is")
        return StepRecord()


class OneBatch(NumberedBatches):
    def batch(self, stream: str, epoch: int, index: int) -> Batch:
        return super().batch(stream, 0, 0)


def test_it_is_that_of_the_task_network_when_first_asked_and_new_in_the_next_step() -> None:
    system, _ = CASES["uaafusion.joint"]()
    strategy = Asking()
    Trainer(system.double(), strategy, OneBatch(), section(max_steps=2, optimiser={"lr": 1e-2}), seed=1).fit()
    (first, again), (next_first, _) = strategy.heard
    assert torch.equal(first, again)
    assert not torch.equal(first, next_first)


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_a_step_is_kept_after_it(fails: bool) -> None:
    system, _ = CASES["uaafusion.joint"]()
    strategy = Asking(fails)
    trainer = Trainer(system.double(), strategy, NumberedBatches(), section(), seed=1)
    if fails:
        with pytest.raises(NonFiniteError):
            trainer.fit()
    else:
        trainer.fit()
    gc.collect()
    assert [batch() for batch in strategy.batches] == [None] * len(strategy.batches)
    # Outside a step nobody says when an answer is out of date, so each is new.
    batch = NumberedBatches().batch("x", 0, 0)
    assert trainer.guidance(batch) is not trainer.guidance(batch)
