"""The trainer: exact resume, divergence, ownership of weights, schedules."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fusekit.errors import RunError, UsageError
from fusekit.interfaces import (
    Batch,
    BuildContext,
    LossTerms,
    StepPlan,
    StepRecord,
    Strategy,
    TrainingContext,
)
from fusekit.model.assembly import Builder
from fusekit.model.system import FusionSystem
from fusekit.recipe.schema import OptimiserSection, TrainSection
from fusekit.training.checkpoint import CheckpointFolder
from fusekit.training.schedule import scheduled_learning_rate
from fusekit.training.trainer import Trainer
from fusekit.training.tree_file import load_tree, save_tree
from fusekit.training.updater import GradientUpdater, NonFiniteError
from fusekit_baselines.rules import Mean
from fusekit_tasks.config import SmpConfig
from fusekit_tasks.segmentation import SmpSegmenter
from fusekit_uaafusion.attribution import AttributionGuidance, AttributionProposer
from fusekit_uaafusion.config import JointConfig, StageConfig, UnfoldingConfig
from fusekit_uaafusion.joint import JointTraining
from fusekit_uaafusion.stage import AttributionStage
from fusekit_uaafusion.unfolding import UnfoldingBackbone
from tests.networks import ROLES, class_table, scene

pytestmark = pytest.mark.slow


class Scenes:
    """Batches by number."""

    batches_per_epoch = 3

    def batch(self, stream: str, epoch: int, index: int) -> Batch:
        noise, labels = scene(batch=2, height=32, width=32, seed=100 * epoch + index)
        shade = labels[:, None] / 5.0  # something to learn: a class is a brightness, the other way in source 2
        sources = (shade + 0.1 * noise[0], 0.7 - shade + 0.1 * noise[1])
        return Batch(sources, labels, (f"{stream}-{epoch}-{index}",))


def section(**changes: object) -> TrainSection:
    plain: dict[str, object] = {"strategy": {"use": "uaafusion.joint"}, "epochs": 4, **changes}
    return TrainSection.model_validate(plain)


def joint_system(seed: int = 0) -> FusionSystem:
    """UAAFusion with a real segmentation network, whose dropout and batch norm make resuming hard."""
    context = BuildContext(
        roles=ROLES, classes=class_table(4), builder=lambda k, r: AttributionStage(StageConfig(channels=2))
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FusionSystem(
            UnfoldingBackbone(UnfoldingConfig(stages=2, channels=2), context),
            proposer=AttributionProposer(),
            guidance=AttributionGuidance(),
            task=SmpSegmenter(SmpConfig(encoder="tu-mobilenetv3_small_050"), context),
            classes=class_table(4),
        )


def train(
    system: FusionSystem,
    folder: Path | None,
    *,
    resume: bool = False,
    stop_after: int | None = None,
    **changes: object,
) -> int:
    strategy = JointTraining(JointConfig(), Builder(ROLES, None).context)
    trainer = Trainer(system, strategy, Scenes(), section(**changes), folder=folder, seed=7)
    return trainer.fit(resume=resume, stop_after=stop_after)


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_equal(a: FusionSystem, b: FusionSystem) -> None:
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(x, y), name


@pytest.mark.parametrize("stop", [2, 4])  # inside an epoch, and in the second one
def test_resume_is_bit_exact(tmp_path: Path, stop: int) -> None:
    changes = {"max_steps": 6, "schedule": {"name": "cosine"}, "checkpoint_every": 2, "clip": 1.0}
    straight = joint_system()
    assert train(straight, tmp_path / "a", **changes) == 6
    first = joint_system()
    assert train(first, tmp_path / "b", stop_after=stop, **changes) == stop
    second = joint_system(seed=99)  # everything must come from the checkpoint
    torch.manual_seed(12345)  # and nothing from the global random state
    assert train(second, tmp_path / "b", resume=True, **changes) == 6
    assert_equal(straight, second)
    logs = [[{k: v for k, v in r.items() if k != "seconds"} for r in log_of(tmp_path / run)] for run in "ab"]
    assert logs[0] == logs[1]
    assert [record["step"] for record in logs[0]] == [1, 2, 3, 4, 5, 6]


def test_a_kill_between_checkpoints_repeats_the_steps_and_their_log(tmp_path: Path) -> None:
    changes = {"max_steps": 5, "checkpoint_every": 2}
    straight = joint_system()
    train(straight, tmp_path / "a", **changes)
    killed = joint_system()

    class Killed(Exception):
        pass

    def die(_: str, step: int, __: int, ___: dict[str, float]) -> None:
        if step == 3:
            raise Killed

    strategy = JointTraining(JointConfig(), Builder(ROLES, None).context)
    with pytest.raises(Killed):
        Trainer(killed, strategy, Scenes(), section(**changes), folder=tmp_path / "b", seed=7, progress=die).fit()
    resumed = joint_system(seed=5)
    train(resumed, tmp_path / "b", resume=True, **changes)
    assert_equal(straight, resumed)
    steps = [record["step"] for record in log_of(tmp_path / "b")]
    assert steps == [1, 2, 3, 4, 5]


def test_training_leaves_the_global_random_state(tmp_path: Path) -> None:
    state = torch.get_rng_state()
    train(joint_system(), None, max_steps=1)
    assert torch.equal(state, torch.get_rng_state())


class OneBatch(Scenes):
    """The same batch again and again: what can be learned of it must be learned."""

    batches_per_epoch = 1

    def batch(self, stream: str, epoch: int, index: int) -> Batch:
        return super().batch(stream, 0, 0)


def test_joint_training_changes_both_networks_and_lowers_the_loss(tmp_path: Path) -> None:
    before, system = joint_system(), joint_system()
    strategy = JointTraining(JointConfig(), Builder(ROLES, None).context)
    settings = section(epochs=10, optimiser={"lr": 2e-2}, checkpoint_every=10)
    Trainer(system, strategy, OneBatch(), settings, folder=tmp_path, seed=7).fit()
    changed = {
        name.partition(".")[0]
        for (name, x), y in zip(before.state_dict().items(), system.state_dict().values(), strict=True)
        if not torch.equal(x, y)
    }
    assert changed == {"backbone", "task"}
    losses = [record["losses"]["total"] for record in log_of(tmp_path)]
    assert sum(losses[-3:]) / 3 < 0.9 * losses[0]


class Exploding(Strategy):
    """Fine for two steps, then one term is NaN."""

    def __init__(self, config: object = None, context: object = None) -> None:
        self.count = 0

    def setup(self, training: TrainingContext) -> None:
        self.weight = nn.Parameter(torch.ones(()))
        self.training = training
        training.backbone.register_parameter("weight", self.weight)
        self.update = training.updater("fusion", training.backbone)

    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        self.count += 1
        bad = self.weight * (math.nan if self.count == 3 else 1.0)
        self.update(LossTerms(self.weight**2 + bad, {"fine": self.weight**2, "gradient": bad}))
        return StepRecord({"total": 1.0})


def test_nan_stops_with_step_term_samples_and_a_saved_state(tmp_path: Path) -> None:
    system = FusionSystem(Mean())
    trainer = Trainer(system, Exploding(), Scenes(), section(), folder=tmp_path, phase="train", seed=0)
    with pytest.raises(NonFiniteError) as caught:
        trainer.fit()
    assert "step 3" in caught.value.message
    assert "term: gradient" in caught.value.message
    assert caught.value.hint is not None
    assert "train/train-0-2" in caught.value.hint
    assert CheckpointFolder(tmp_path / "diverged" / "train").load() is not None
    assert bool(torch.isfinite(system.backbone.weight))  # type: ignore[arg-type]


def test_non_finite_gradient_is_caught_before_it_reaches_the_weights() -> None:
    class RootOfZero(Exploding):
        def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
            self.update((self.weight - 1.0).abs().sqrt())  # finite, its slope is not
            return StepRecord()

    system = FusionSystem(Mean())
    with pytest.raises(NonFiniteError, match="gradient of fusion is not finite"):
        Trainer(system, RootOfZero(), Scenes(), section(), seed=0).fit()
    assert system.backbone.weight.item() == 1.0  # type: ignore[operator, union-attr]


def test_updater_touches_only_its_own_parameters() -> None:
    class Two(Exploding):
        def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
            self.other = nn.Parameter(torch.ones(()))
            self.update(self.weight * self.other)
            return StepRecord()

    strategy = Two()
    Trainer(FusionSystem(Mean()), strategy, Scenes(), section(max_steps=1), seed=0).fit()
    assert strategy.other.grad is None
    assert strategy.weight.grad is None
    assert float(strategy.weight) != 1.0


def test_nothing_to_train_is_said() -> None:
    class Idle(Exploding):
        def setup(self, training: TrainingContext) -> None:
            training.updater("fusion", training.backbone)

    with pytest.raises(UsageError, match="nothing to train"):
        Trainer(FusionSystem(Mean()), Idle(), Scenes(), section(), seed=0).fit()


def test_bf16_trains(tmp_path: Path) -> None:
    found = {}
    for precision in ("fp32", "bf16"):
        train(joint_system(), tmp_path / precision, max_steps=2, precision=precision)
        found[precision] = [record["losses"]["total"] for record in log_of(tmp_path / precision)]
    assert found["bf16"] == pytest.approx(found["fp32"], rel=0.05)
    assert found["bf16"] != pytest.approx(found["fp32"], rel=1e-6), "it has another precision"


def test_a_part_can_learn_at_a_share_of_the_rate() -> None:
    def moved(**options: Any) -> dict[str, float]:
        before, system = joint_system(), joint_system()
        strategy = JointTraining(JointConfig(**options), Builder(ROLES, None).context)
        Trainer(system, strategy, Scenes(), section(max_steps=1), seed=7).fit()
        pairs = zip(before.named_parameters(), system.parameters(), strict=True)
        moves: dict[str, float] = {}
        for (name, old), new in pairs:
            part = name.partition(".")[0]
            moves[part] = max(moves.get(part, 0.0), float((old - new).detach().abs().max()))
        return moves

    full, tenth, none = moved(), moved(task_rate=0.1), moved(task_rate=0.0)
    # Adam's first step moves every weight by the learning rate.
    assert full["task"] == pytest.approx(1e-4, rel=1e-2)
    assert tenth["task"] == pytest.approx(1e-5, rel=1e-2)
    assert none["task"] == 0.0
    assert full["backbone"] == tenth["backbone"] == none["backbone"]


def test_frozen_statistics_stay(tmp_path: Path) -> None:
    for frozen in (False, True):
        before, system = joint_system(), joint_system()
        strategy = JointTraining(JointConfig(freeze_statistics=frozen), Builder(ROLES, None).context)
        Trainer(system, strategy, Scenes(), section(max_steps=1), seed=7).fit()
        same = all(torch.equal(x, y) for x, y in zip(before.buffers(), system.buffers(), strict=True))
        assert same is frozen


def test_schedules() -> None:
    def rates(steps: int, **settings: object) -> list[float]:
        schedule = section(schedule=settings).schedule
        return [
            scheduled_learning_rate(1.0, schedule, step=s, total_steps=steps, steps_per_epoch=2) for s in range(steps)
        ]

    assert rates(3, name="constant") == [1.0, 1.0, 1.0]
    assert rates(8, name="step", every=2, gamma=0.5) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]
    cosine = rates(101, name="cosine", final=0.1)
    assert cosine[0] == 1.0
    assert cosine[50] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 50 / 101)))
    assert cosine == sorted(cosine, reverse=True)
    assert rates(4, name="constant", warmup=2) == [0.5, 1.0, 1.0, 1.0]


def test_checkpoints_are_whole_or_absent_and_few(tmp_path: Path) -> None:
    train(joint_system(), tmp_path, max_steps=5, checkpoint_every=1, keep=2)
    folder = tmp_path / "checkpoints" / "train"
    assert [p.name for p in sorted(folder.iterdir())] == ["step-00000004", "step-00000005"]
    # A kill while writing leaves a hidden folder, which nobody takes for a checkpoint.
    (folder / ".step-00000006.tmp").mkdir()
    (folder / "step-00000007").mkdir()
    position = CheckpointFolder(folder).position()
    assert position is not None
    assert position.step == 5


def test_damaged_checkpoint_says_what_to_delete(tmp_path: Path) -> None:
    train(joint_system(), tmp_path, max_steps=1)
    (tmp_path / "checkpoints" / "train" / "step-00000001" / "weights.safetensors").write_bytes(b"cut")
    with pytest.raises(RunError, match="damaged") as caught:
        train(joint_system(), tmp_path, max_steps=2, resume=True)
    assert "delete" in (caught.value.hint or "")


def test_tree_file_round_trip(tmp_path: Path) -> None:
    tree = {"state": {0: {"step": torch.tensor(3.0), "list": [1, None, "x", torch.arange(3)]}}, "lr": 1e-4}
    save_tree(tmp_path / "t.safetensors", tree)
    back = load_tree(tmp_path / "t.safetensors")
    assert back["lr"] == 1e-4
    assert list(back["state"]) == [0]
    assert torch.equal(back["state"][0]["list"][3], torch.arange(3))
    assert back["state"][0]["list"][:3] == [1, None, "x"]
    with pytest.raises(TypeError, match="only tensors and plain data"):
        save_tree(tmp_path / "u.safetensors", {"x": object()})


def test_a_rule_of_a_strategy_changes_the_gradients_of_all_weights_together() -> None:
    """A plain step of 0.5 · 2 in the direction that the rule leaves, whatever the recipe's optimiser remembers."""
    weights = [nn.Parameter(torch.tensor([3.0, -4.0])), nn.Parameter(torch.tensor([12.0]))]
    seen: list[list[float]] = []

    def all_alike(gradients: Sequence[torch.Tensor]) -> None:
        seen.append(torch.cat(list(gradients)).tolist())
        for gradient in gradients:
            gradient.fill_(0.5)

    optimiser = OptimiserSection(name="adam", lr=2.0)
    update = GradientUpdater("all", [(weight, 1.0) for weight in weights], optimiser, rule=all_alike)
    update(sum((weight.square().sum() for weight in weights), torch.zeros(())))
    assert seen == [[6.0, -8.0, 24.0]]
    assert torch.cat(weights).tolist() == [2.0, -5.0, 11.0]


@pytest.mark.parametrize(
    ("own", "kind", "lr"),
    [
        ({}, torch.optim.Adam, 1e-3),
        ({"joint": {"name": "sgd", "lr": 4e-3, "momentum": 0.5}}, torch.optim.SGD, 4e-3),
        ({"joint": {"eps": 1e-12}}, torch.optim.Adam, 1e-3),
    ],
)
def test_an_updater_has_its_own_options(own: dict[str, Any], kind: type, lr: float) -> None:
    """Rule, learning rate and epsilon of one updater; the schedule applies to every rate."""
    changes = {"optimiser": {"lr": 1e-3, "updaters": own}, "schedule": {"warmup": 4}, "max_steps": 2}
    strategy = JointTraining(JointConfig(), Builder(ROLES, None).context)
    trainer = Trainer(joint_system(), strategy, Scenes(), section(**changes))
    trainer.fit()
    optimiser = trainer.updaters["joint"].optimiser
    assert isinstance(optimiser, kind)
    assert optimiser.param_groups[0]["lr"] == pytest.approx(lr * 2 / 4)
    if kind is torch.optim.Adam:
        assert optimiser.param_groups[0]["eps"] == own.get("joint", {}).get("eps", 1e-8)


def test_options_of_an_unknown_updater_are_refused() -> None:
    with pytest.raises(UsageError, match="'proposer', which the strategy does not have") as caught:
        train(joint_system(), None, optimiser={"updaters": {"proposer": {"eps": 1e-10}}})
    assert "joint" in (caught.value.hint or "")
