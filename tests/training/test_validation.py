"""Validation in training: steps are unaffected, the best weights are used, resuming is exact, patience ends it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusekit.errors import PluginError, RunError
from fusekit.interfaces import Batch, Strategy
from fusekit.model.system import FusionSystem
from fusekit.recipe.schema import TrainSection, ValidationSection
from fusekit.training.checkpoint import CheckpointFolder
from fusekit.training.log import TrainingLog
from fusekit.training.trainer import Trainer
from fusekit.training.validation import LossValidator, Validator
from fusekit.training.validation_state import ValidationState
from tests.golden.curves import CASES, NumberedBatches, with_known_weights

pytestmark = pytest.mark.slow


class Restless(nn.Module):
    """Batch norm and dropout: what validation would disturb if it trained, or drew."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.2), net)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.net(image)
        return out


def restless(case: str) -> tuple[FusionSystem, Strategy]:
    system, strategy = CASES[case]()
    if "task" in case or "joint" in case:
        assert system.task is not None
        system.task.net = Restless(system.task.net)  # type: ignore[arg-type]
    return with_known_weights(system), strategy


class Scenes:
    """Validation scenes of one stream; what a `TrainingData` of single scenes gives."""

    def __len__(self) -> int:
        return 3

    def batch(self, stream: str, epoch: int, index: int) -> Batch:
        return NumberedBatches().batch("validation scenes", epoch, index)


class Values:
    """A measure whose values are known, by validation; it draws, trains nothing, and asks for the weights."""

    name = "toy.metric"
    is_metric = True

    def __init__(self, values: Sequence[float], higher_is_better: bool = True) -> None:
        self.values, self.higher_is_better, self.calls = values, higher_is_better, 0
        self.drawn: list[float] = []

    def __len__(self) -> int:
        return 2

    def measure(self, number: int) -> float:
        self.drawn.append(torch.rand(()).item())
        self.calls += 1
        return self.values[(self.calls - 1) // 2]

    def mean(self, values: Sequence[float]) -> float:
        return sum(values) / len(values)


class ByStep(Values):
    """As `Values`, by a weight that counts steps, so that a resumed training goes on where it was."""

    def __init__(self, system: FusionSystem, values: Sequence[float], higher_is_better: bool = True) -> None:
        super().__init__(values, higher_is_better)
        self.system = system

    def measure(self, number: int) -> float:
        self.calls += 1
        steps = int(self.system.get_buffer("steps"))
        return self.values[steps - 1]


Made = tuple[Trainer, Callable[..., int]]


def trainer(
    case: str,
    validate: dict[str, Any] | None,
    folder: Path | None = None,
    measure: Callable[[FusionSystem, Strategy], Validator] | None = None,
    **settings: Any,
) -> Trainer:
    system, strategy = restless(case)
    system.register_buffer("steps", torch.zeros((), dtype=torch.int64))
    step = strategy.step

    def counted(*args: Any) -> Any:
        system.get_buffer("steps").add_(1)
        return step(*args)

    strategy.step = counted  # type: ignore[method-assign]
    plain = {
        "strategy": {"use": case.partition(",")[0]},
        "epochs": 9,
        "max_steps": 8,
        "optimiser": {"lr": 1e-2},
        "checkpoint_every": 3,
        **settings,
    }
    if validate is not None:
        plain["validate"] = validate
    section = TrainSection.model_validate(plain)
    validator = None
    if section.validation is not None:
        scenes: Any = Scenes()
        loss = LossValidator(strategy, section.validation.loss or "", scenes, torch.device("cpu"))
        validator = measure(system, strategy) if measure is not None else loss
    return Trainer(system, strategy, NumberedBatches(), section, folder=folder, seed=3, validator=validator)


def by_steps(values: Sequence[float], higher_is_better: bool = True) -> Callable[..., Validator]:
    return lambda system, strategy: ByStep(system, values, higher_is_better)


def records(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in r.items() if k != "seconds"} for r in TrainingLog(folder / "metrics.jsonl").read()]


def steps_of(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in found if "validation" not in record]


def same(one: FusionSystem, other: FusionSystem) -> bool:
    return all(torch.equal(x, y) for x, y in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("case", "loss"),
    [
        ("uaafusion.joint", "total"),
        ("refusion.meta, sources", "evaluator"),
        ("refusion.meta, task", "fusion"),
        ("tasks.supervised", "task"),
    ],
)
def test_a_training_with_validation_is_the_one_without(case: str, loss: str, tmp_path: Path) -> None:
    plain = trainer(case, None, tmp_path / "plain", max_steps=5)
    plain.fit()
    validated = trainer(case, {"loss": loss, "every": 2, "weights": "last"}, tmp_path / "validated", max_steps=5)
    flags = {name: (p.requires_grad, p.grad) for name, p in validated.system.named_parameters()}
    validated.fit()
    assert same(plain.system, validated.system)
    assert steps_of(records(tmp_path / "validated")) == records(tmp_path / "plain")
    assert {name: (p.requires_grad, p.grad) for name, p in validated.system.named_parameters()} == flags
    found = [record for record in records(tmp_path / "validated") if "validation" in record]
    assert [record["step"] for record in found] == [2, 4, 5]
    assert all(math.isfinite(record["losses"][f"validation {loss}"]) for record in found)
    assert len({record["losses"][f"validation {loss}"] for record in found}) == 3


def test_a_loss_told_is_that_of_a_step_on_the_same_batch() -> None:
    """Without batch norm and dropout, evaluation mode changes nothing, so the first step must say the same."""
    for case, names in {
        "uaafusion.joint": {"total": "total", "task": "task", "gradient": "gradient"},
        "tasks.supervised": {"task": "task"},
        "refusion.meta, task": {"fusion": "fusion", "intensity": "intensity"},
    }.items():
        system, strategy = CASES[case]()
        section = TrainSection.model_validate({"strategy": {"use": "uaafusion.joint"}})
        made = Trainer(with_known_weights(system), strategy, NumberedBatches(), section)
        strategy.setup(made)
        batch = NumberedBatches().batch("x", 0, 0)
        told = strategy.losses(batch)
        plan = strategy.plan(1)[-1]
        record = strategy.step(plan, [batch] * len(plan.draws))
        for name, logged in names.items():
            assert told[name] == record.losses[logged]


VALUES = [0.1, 0.3, 0.2, 0.5, 0.5, 0.4, 0.45, 0.2]


@pytest.mark.parametrize(
    ("values", "higher", "best"),
    [(VALUES, True, 4), (VALUES, False, 1), ([math.nan, 0.1, math.inf, 0.3, math.nan, 0.2, 0.1, 0.0], True, 4)],
)
@pytest.mark.parametrize("kept", [True, False])
def test_the_best_weights_go_on(values: list[float], higher: bool, best: int, kept: bool, tmp_path: Path) -> None:
    folder = tmp_path if kept else None
    made = trainer("tasks.supervised", {"metric": "strict.en", "every": 1}, folder, by_steps(values, higher))
    assert made.fit() == 8
    assert (made.validation_state.step, made.validation_state.value) == (best, values[best - 1])
    assert int(made.system.get_buffer("steps")) == best
    straight = trainer("tasks.supervised", None, max_steps=best, epochs=9)
    straight.fit()
    assert same(made.system, straight.system)
    if kept:
        place = tmp_path / "checkpoints" / "train"
        assert [p.name for p in (place / "best").iterdir()] == [f"step-{best:08d}"]
        assert CheckpointFolder(place / "best").load() is not None
        last = CheckpointFolder(place).load()
        assert last is not None
        assert last.position.finished
        assert int(last.weights["steps"]) == 8  # the checkpoints are of the training, whatever goes on
        chosen = [r["step"] for r in records(tmp_path) if r.get("validation", {}).get("best")]
        assert chosen[-1] == best


def test_nan_is_said_and_leaves_the_last_weights(tmp_path: Path) -> None:
    made = trainer("tasks.supervised", {"metric": "strict.en"}, tmp_path, by_steps([math.nan] * 8))
    made.fit()
    assert made.validation_state == ValidationState(waited=3)
    assert int(made.system.get_buffer("steps")) == 8
    found = [r for r in records(tmp_path) if "validation" in r]
    assert [r["step"] for r in found] == [3, 6, 8]  # once an epoch, and after the last step
    for record in found:
        assert record["losses"] == {"validation toy.metric": None}
        assert not record["validation"]["finite"]
        assert record["validation"]["undefined"] == 2
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)  # JSON has no NaN


def test_the_recipe_may_want_the_last_weights() -> None:
    made = trainer("tasks.supervised", {"metric": "strict.en", "every": 1, "weights": "last"}, None, by_steps(VALUES))
    made.fit()
    assert made.validation_state.step == 4
    assert int(made.system.get_buffer("steps")) == 8


@pytest.mark.parametrize("stop", [2, 3, 5, 6])
@pytest.mark.parametrize("patience", [None, 2])
def test_resume_is_bit_exact(stop: int, patience: int | None, tmp_path: Path) -> None:
    """Best weights, counters, log and the early end are those of an uninterrupted training."""
    validate = {"loss": "task", "every": 1, "patience": patience}
    straight = trainer("tasks.supervised", validate, tmp_path / "a")
    total = straight.fit()
    trainer("tasks.supervised", validate, tmp_path / "b").fit(stop_after=stop)
    resumed = trainer("tasks.supervised", validate, tmp_path / "b")
    with torch.no_grad():
        for weight in resumed.system.parameters():
            weight.zero_()  # everything must come from the checkpoint
    torch.manual_seed(12345)
    assert resumed.fit(resume=True) == total
    assert resumed.validation_state == straight.validation_state
    assert same(straight.system, resumed.system)
    assert records(tmp_path / "a") == records(tmp_path / "b")
    places = [tmp_path / run / "checkpoints" / "train" / "best" for run in "ab"]
    assert [p.name for p in places[0].iterdir()] == [p.name for p in places[1].iterdir()]


class Killed(Exception):
    pass


def test_a_kill_after_a_better_value_goes_back_to_the_best_of_the_checkpoint(tmp_path: Path) -> None:
    """The newest best was kept after the newest checkpoint; what the checkpoint calls the best must still be there."""
    validate = {"metric": "strict.en", "every": 1}
    made = trainer("tasks.supervised", validate, tmp_path, by_steps([0.1, 0.3, 0.2, 0.5, 0.6, 0.0, 0.0, 0.0]))

    def die(_: str, step: int, __: int, ___: dict[str, float]) -> None:
        if step == 6:
            raise Killed

    made.progress = die
    with pytest.raises(Killed):
        made.fit()
    best = tmp_path / "checkpoints" / "train" / "best"
    assert sorted(p.name for p in best.iterdir()) == ["step-00000002", "step-00000004", "step-00000005"]
    # The second time nothing is better: as on hardware whose sums are not the same twice.
    again = trainer("tasks.supervised", validate, tmp_path, by_steps([0.1, 0.3, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0]))
    again.fit(resume=True)
    assert again.validation_state.step == 2
    assert int(again.system.get_buffer("steps")) == 2
    assert [p.name for p in best.iterdir()] == ["step-00000002"]
    assert [r["step"] for r in records(tmp_path) if "validation" in r] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_best_weights_that_are_gone_are_said_before_training_goes_on(tmp_path: Path) -> None:
    import shutil

    validate = {"metric": "strict.en", "every": 1}
    trainer("tasks.supervised", validate, tmp_path, by_steps(VALUES)).fit(stop_after=3)
    shutil.rmtree(tmp_path / "checkpoints" / "train" / "best")
    with pytest.raises(RunError, match="the best weights so far are missing: "):
        trainer("tasks.supervised", validate, tmp_path, by_steps(VALUES)).fit(resume=True)


def test_patience_ends_the_phase_and_resume_does_not_train_on(tmp_path: Path) -> None:
    validate = {"metric": "strict.en", "every": 1, "patience": 2}
    made = trainer("tasks.supervised", validate, tmp_path, by_steps(VALUES))
    assert made.total_steps == 8
    assert made.fit() == 6  # 0.5 at step 4, not beaten by 0.5 and 0.4
    assert made.validation_state.stopped
    position = CheckpointFolder(tmp_path / "checkpoints" / "train").position()
    assert position is not None
    assert (position.step, position.finished, position.best) == (6, True, 4)
    again = trainer("tasks.supervised", validate, tmp_path, by_steps(VALUES))
    assert again.fit(resume=True) == 6
    assert same(made.system, again.system)
    assert [r["step"] for r in steps_of(records(tmp_path))] == [1, 2, 3, 4, 5, 6]


def test_validation_state() -> None:
    settings = ValidationSection.model_validate({"loss": "x", "patience": 2, "min_delta": 0.1})
    state, seen = ValidationState(), []
    for step, value in enumerate([1.0, 0.95, 0.85, math.nan, 0.8], start=1):
        state = state.after(step, value, False, settings)
        seen.append((state.step, state.value, state.waited, state.stopped))
    assert seen == [
        (1, 1.0, 0, False),
        (2, 0.95, 1, False),  # better, but not by so much that patience begins anew
        (3, 0.85, 0, False),
        (3, 0.85, 1, False),
        (5, 0.8, 2, True),
    ]


def test_chance_in_a_measure_is_that_of_the_scene(tmp_path: Path) -> None:
    measure = Values([0.0] * 8)
    made = trainer("tasks.supervised", {"metric": "strict.en", "every": 4}, None, lambda *_: measure)
    made.fit()
    first, second = measure.drawn[:2]
    assert measure.drawn == [first, second, first, second]
    assert first != second


def test_a_loss_that_is_named_and_not_told_is_the_plugins_fault() -> None:
    with pytest.raises(PluginError, match="does not return the loss 'fusion'"):
        trainer("termsearch.evolution", {"loss": "fusion", "every": 1}).fit()


def test_a_section_that_validates_wants_a_validator() -> None:
    system, strategy = CASES["tasks.supervised"]()
    section = TrainSection.model_validate({"strategy": {"use": "x.y"}, "validate": {"loss": "task"}})
    with pytest.raises(ValueError, match="a validator is required"):
        Trainer(system, strategy, NumberedBatches(), section)


@pytest.mark.parametrize("given", [{}, {"metric": "strict.en", "loss": "total"}])
def test_a_section_measures_one_thing(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give either `metric`"):
        ValidationSection.model_validate(given)
