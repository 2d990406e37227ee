"""Contract of strategies."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar
from unittest import SkipTest

import torch
from torch import Tensor

from fusekit.interfaces.evaluation_mode import undisturbed
from fusekit.interfaces.strategy import StepPlan, StepRecord, Strategy
from fusekit.interfaces.types import Batch
from fusekit.model.system import FusionSystem
from fusekit.plugin.imports import one_line
from fusekit.recipe.components import configure
from fusekit.recipe.fields import references
from fusekit.recipe.schema import TrainSection
from fusekit.testing.component import ComponentContract
from fusekit.testing.expect import expect, expect_same
from fusekit.testing.samples import SyntheticBatches
from fusekit.testing.toys import PART_OF_KIND, toy_system
from fusekit.training.trainer import Trainer


@dataclass
class _Training:
    """Results of a training.

    Attributes:
        system: The trained parts.
        records: The record of every step.
        batches: The batches of every step, each after the step and as copied before it.
    """

    system: FusionSystem
    records: list[StepRecord] = field(default_factory=list)
    batches: list[tuple[Batch, Batch]] = field(default_factory=list)


class StrategyContract(ComponentContract):
    """Checks of a strategy, in the real trainer, on toy parts and images of 32 x 32 pixels.

    An epoch is shortened to one step of each kind that the strategy plans; two epochs are trained.

    Attributes:
        model: Parts to train, as in the ``model`` section of a recipe; toys for all others.
        changes: Parts, such as ``"proposer"``, that it changes although ``trains()`` does not name them, because
            they need no weights.
        train: Further settings of a recipe's ``train`` section, such as another optimiser.
    """

    kind = "strategy"
    model: ClassVar[Mapping[str, Any]] = {}
    changes: ClassVar[tuple[str, ...]] = ()
    train: ClassVar[Mapping[str, Any]] = {}

    def system(self, seed: int = 0) -> FusionSystem:
        """The parts, untrained."""
        return toy_system(self.model, self.roles, self.classes, self.components(), seed)

    def section(self) -> TrainSection:
        """Settings of the training."""
        plain = {
            "optimiser": {"lr": 1e-2},
            **self.train,
            "strategy": {"use": self.name, "params": dict(self.params)},
            "epochs": 2,
        }
        return TrainSection.model_validate(plain)

    def run(
        self,
        *,
        seed: int = 0,
        folder: Path | None = None,
        stop_after: int | None = None,
        resume: bool = False,
    ) -> _Training:
        """Train for two short epochs."""
        strategy = self.make()
        training = _Training(self.system(seed))
        _shorten(strategy)
        _watch(strategy, training)
        trainer = Trainer(
            training.system,
            strategy,
            SyntheticBatches(self.roles, self.classes),
            self.section(),
            folder=folder,
            seed=7,
        )
        trainer.fit(stop_after=stop_after, resume=resume)
        return training

    def trained(self) -> _Training:
        """The training of `run`; skips if training fails, which another check reports."""
        try:
            return self.run()
        except SkipTest:
            raise
        except Exception as error:
            raise SkipTest(f"it does not train: {one_line(error)}") from error

    def use(self, made: Any) -> None:
        self.trained()

    def changed(self) -> set[str]:
        """Parts whose parameters or statistics were changed by training."""
        before, after = self.system().state_dict(), self.trained().system.state_dict()
        return {name.partition(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}

    def owned(self) -> tuple[set[str], set[str]]:
        """Parts that its Config declares as trained, and parts that serve as its evaluators."""
        config, registry = self.config(), self.components()
        nested = [reference for reference in references(config) if reference.kind == "objective"]
        evaluators = {need for found in nested for need in configure("objective", found.ref, registry).needs()}
        return (
            {PART_OF_KIND[kind] for kind in config.trains() if kind in PART_OF_KIND},
            {PART_OF_KIND[kind] for kind in evaluators if kind in PART_OF_KIND},
        )

    def test_it_trains(self) -> None:
        """It trains a small model in the real trainer, and every step reports finite losses."""
        self.make()
        try:
            training = self.run()
        except SkipTest:
            raise
        except Exception as error:
            raise AssertionError(f"training: expected to finish, found {one_line(error)}") from error
        for number, record in enumerate(training.records, start=1):
            expect(isinstance(record, StepRecord), f"step {number}: expected a StepRecord, found {record!r}")
            bad = [name for name, loss in record.losses.items() if not math.isfinite(loss)]
            expect(not bad, f"losses of step {number}: expected finite numbers, found others at {', '.join(bad)}")

    def test_declared_parts_are_trained(self) -> None:
        """Every part that its Config declares as trained has changed."""
        trains, _ = self.owned()
        unchanged = trains - self.changed()
        shown = ", ".join(sorted(unchanged))
        expect(not unchanged, f"after training: expected changes in {shown}, found the same parameters")

    def test_other_parts_are_not_changed(self) -> None:
        """Parts that it does not train, and that do not serve as its evaluators, are not changed."""
        trains, evaluators = self.owned()
        others = self.changed() - trains - evaluators - set(self.changes)
        expect(
            not others,
            f"after training: expected changes in {', '.join(sorted(trains | evaluators)) or 'no part'}, found "
            f"changes in {', '.join(sorted(others))} too; name it in trains() of the Config, or in `changes` of the "
            "contract if it needs no weights",
        )

    def test_no_gradient_is_left_behind(self) -> None:
        """No parameter keeps a gradient, which the next phase would use as its own."""
        named = self.trained().system.named_parameters()
        left = [name for name, own in named if own.grad is not None and bool((own.grad != 0).any())]
        expect(not left, f"after training: expected no gradient in .grad, found one at {', '.join(left[:3])}")

    def test_batches_are_not_changed(self) -> None:
        """It does not change the batches, which another step may use again."""
        for number, (after, before) in enumerate(self.trained().batches):
            for role, source, was in zip(self.roles, after.sources, before.sources, strict=True):
                expect_same(f"{role} of batch {number} after the step", source, was)
            if after.labels is not None and before.labels is not None:
                expect_same(f"labels of batch {number} after the step", after.labels, before.labels)

    def test_streams_are_declared(self) -> None:
        """It uses only the streams that its Config declares, for which recipes may set another sampling."""
        drawn = {stream for step in self.make().plan(2) for stream in step.draws}
        declared = self.config().streams()
        expect(drawn <= declared, f"streams: expected some of {sorted(declared)}, found {sorted(drawn)}")

    def test_declared_losses_are_computed(self) -> None:
        """It computes the losses that its Config declares, as finite numbers, and changes no part by doing so."""
        names = self.config().losses()
        if not names:
            raise SkipTest("its Config declares no losses for validation")
        system, strategy = self.system(), self.make()
        data = SyntheticBatches(self.roles, self.classes)
        strategy.setup(Trainer(system, strategy, data, self.section()))
        before = {name: value.clone() for name, value in system.state_dict().items()}
        with undisturbed(system), torch.no_grad():
            losses = strategy.losses(data.batch("validate", 0, 0))
        absent = names - set(losses)
        expect(not absent, f"losses: expected {', '.join(sorted(names))}, found {', '.join(sorted(losses)) or 'none'}")
        bad = [name for name in sorted(names) if not math.isfinite(losses[name])]
        expect(not bad, f"losses: expected finite numbers, found others at {', '.join(bad)}")
        for name, value in system.state_dict().items():
            expect_same(f"{name} after computing losses", value, before[name])

    def test_resumed_training_equals_uninterrupted(self) -> None:
        """A training that is stopped and resumed from its checkpoint ends with bitwise identical parameters."""
        wanted = self.trained().system.state_dict()
        with tempfile.TemporaryDirectory() as folder:
            self.run(folder=Path(folder), stop_after=1)
            try:
                found = self.run(seed=1, folder=Path(folder), resume=True).system.state_dict()
            except Exception as error:
                raise AssertionError(f"resuming: expected to continue, found {one_line(error)}") from error
        for name, value in wanted.items():
            expect_same(f"{name} after resuming", found[name], value)


def _shorten(strategy: Strategy) -> None:
    """Reduce an epoch to one step of each kind, in the order of the plan."""
    plan = strategy.plan

    def short(batches: int) -> Sequence[StepPlan]:
        return list(dict.fromkeys(plan(batches)))

    strategy.plan = short  # type: ignore[method-assign]


def _watch(strategy: Strategy, training: _Training) -> None:
    """Record the batches and the result of every step."""
    step = strategy.step

    def watched(plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        before = [_copy(batch) for batch in batches]
        record = step(plan, batches)
        training.records.append(record)
        training.batches += zip(batches, before, strict=True)
        return record

    strategy.step = watched  # type: ignore[method-assign]


def _copy(batch: Batch) -> Batch:
    def clone(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.clone()

    return replace(batch, sources=tuple(source.clone() for source in batch.sources), labels=clone(batch.labels))
