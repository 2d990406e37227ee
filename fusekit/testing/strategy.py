"""What a strategy keeps."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from fusekit.testing.samples import BatchesByNumber
from fusekit.testing.toys import PART_OF_KIND, toy_system
from fusekit.training.trainer import Trainer


@dataclass
class _Training:
    """A training that is over.

    Attributes:
        system: The parts, trained.
        records: What every step reported.
        batches: What every step was given, as it is after the step and as it was before.
    """

    system: FusionSystem
    records: list[StepRecord] = field(default_factory=list)
    batches: list[tuple[Batch, Batch]] = field(default_factory=list)


class StrategyContract(ComponentContract):
    """Checks of a strategy, in the real trainer, on toy parts and images of 32 x 32 pixels.

    An epoch is cut to one step of every sort that the strategy plans; two epochs are trained.

    Attributes:
        model: Parts to train, as the ``model`` section of a recipe names them; toys for all others.
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
        """Trains for two short epochs."""
        strategy = self.make()
        training = _Training(self.system(seed))
        _shorten(strategy)
        _watch(strategy, training)
        trainer = Trainer(
            training.system,
            strategy,
            BatchesByNumber(self.roles, self.classes),
            self.section(),
            folder=folder,
            seed=7,
        )
        trainer.fit(stop_after=stop_after, resume=resume)
        return training

    def trained(self) -> _Training:
        """As `run`; skips where training fails, which is another check's business."""
        try:
            return self.run()
        except SkipTest:
            raise
        except Exception as error:
            raise SkipTest(f"it does not train: {one_line(error)}") from error

    def use(self, made: Any) -> None:
        self.trained()

    def changed(self) -> set[str]:
        """Parts whose weights or statistics training changed."""
        before, after = self.system().state_dict(), self.trained().system.state_dict()
        return {name.partition(".")[0] for name, value in before.items() if not torch.equal(value, after[name])}

    def owned(self) -> tuple[set[str], set[str]]:
        """Parts that its Config says it trains, and parts that serve as its evaluators."""
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
            raise AssertionError(f"training: expected to come to its end, found {one_line(error)}") from error
        for number, record in enumerate(training.records, start=1):
            expect(isinstance(record, StepRecord), f"step {number}: expected a StepRecord, found {record!r}")
            bad = [name for name, loss in record.losses.items() if not math.isfinite(loss)]
            expect(not bad, f"losses of step {number}: expected finite numbers, found others at {', '.join(bad)}")

    def test_what_it_says_it_trains_is_trained(self) -> None:
        """Every part that its Config says it trains has changed."""
        trains, _ = self.owned()
        resting = trains - self.changed()
        expect(not resting, f"after training: expected {', '.join(sorted(resting))} changed, found the same weights")

    def test_nothing_else_is_changed(self) -> None:
        """Parts that it does not train, and that do not serve as its evaluators, are as they were."""
        trains, evaluators = self.owned()
        others = self.changed() - trains - evaluators - set(self.changes)
        expect(
            not others,
            f"after training: expected changes in {', '.join(sorted(trains | evaluators)) or 'no part'}, found "
            f"{', '.join(sorted(others))} changed too; name it in trains() of the Config, or in `changes` of the "
            "contract if it needs no weights",
        )

    def test_no_gradient_is_left_behind(self) -> None:
        """No weight keeps a gradient, which the next phase would take for its own."""
        named = self.trained().system.named_parameters()
        left = [name for name, weight in named if weight.grad is not None and bool((weight.grad != 0).any())]
        expect(not left, f"after training: expected no gradient in .grad, found one at {', '.join(left[:3])}")

    def test_batches_are_left_alone(self) -> None:
        """It does not change the batches, which another step may draw again."""
        for number, (after, before) in enumerate(self.trained().batches):
            for role, source, was in zip(self.roles, after.sources, before.sources, strict=True):
                expect_same(f"{role} of batch {number} after the step", source, was)
            if after.labels is not None and before.labels is not None:
                expect_same(f"labels of batch {number} after the step", after.labels, before.labels)

    def test_streams_are_those_it_declares(self) -> None:
        """It draws from the streams that its Config names, which recipes may cut differently."""
        drawn = {stream for step in self.make().plan(2) for stream in step.draws}
        declared = self.config().streams()
        expect(drawn <= declared, f"streams: expected some of {sorted(declared)}, found {sorted(drawn)}")

    def test_losses_are_those_it_declares(self) -> None:
        """It tells the losses that its Config names, as finite numbers, and changes nothing by telling them."""
        names = self.config().losses()
        if not names:
            raise SkipTest("its Config names no losses to be validated by")
        system, strategy = self.system(), self.make()
        data = BatchesByNumber(self.roles, self.classes)
        strategy.setup(Trainer(system, strategy, data, self.section()))
        before = {name: value.clone() for name, value in system.state_dict().items()}
        with undisturbed(system), torch.no_grad():
            told = strategy.losses(data.batch("validate", 0, 0))
        absent = names - set(told)
        expect(not absent, f"losses: expected {', '.join(sorted(names))}, found {', '.join(sorted(told)) or 'none'}")
        bad = [name for name in sorted(names) if not math.isfinite(told[name])]
        expect(not bad, f"losses: expected finite numbers, found others at {', '.join(bad)}")
        for name, value in system.state_dict().items():
            expect_same(f"{name} after telling losses", value, before[name])

    def test_resuming_equals_going_on(self) -> None:
        """Stopped after a step and resumed from its checkpoint, it ends with the same weights to the last bit."""
        wanted = self.trained().system.state_dict()
        with tempfile.TemporaryDirectory() as folder:
            self.run(folder=Path(folder), stop_after=1)
            try:
                found = self.run(seed=1, folder=Path(folder), resume=True).system.state_dict()
            except Exception as error:
                raise AssertionError(f"resuming: expected to go on, found {one_line(error)}") from error
        for name, value in wanted.items():
            expect_same(f"{name} after resuming", found[name], value)


def _shorten(strategy: Strategy) -> None:
    """One step of every sort in an epoch, in the order of the plan."""
    plan = strategy.plan

    def short(batches: int) -> Sequence[StepPlan]:
        return list(dict.fromkeys(plan(batches)))

    strategy.plan = short  # type: ignore[method-assign]


def _watch(strategy: Strategy, training: _Training) -> None:
    """Keeps what goes into every step and what comes out."""
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

    return Batch(tuple(source.clone() for source in batch.sources), clone(batch.labels), batch.ids)
