"""Training in several processes equals training in one: gradients, whole trainings, errors, resuming, torchrun."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file
from torch import Tensor, nn

import fusekit
from fusekit.data.training_data import TrainingData
from fusekit.errors import UsageError
from fusekit.interfaces import Batch, BuildContext, StepPlan, StepRecord, Strategy, TrainingContext
from fusekit.interfaces.dataset import FusionDataset, Sample
from fusekit.model.assembly import Builder
from fusekit.model.system import FusionSystem
from fusekit.recipe.schema import SamplingSection, TrainSection
from fusekit.training import distributed
from fusekit.training.differentiable import differentiable_step
from fusekit.training.trainer import Trainer
from fusekit.training.updater import NonFiniteError
from fusekit.training.validation import LossValidator
from fusekit_baselines.rules import Mean
from fusekit_refusion.config import MetaConfig, NetworkConfig, ProposerConfig, ReconstructionConfig
from fusekit_refusion.meta import MetaLearning
from fusekit_refusion.network import FusionNetwork
from fusekit_refusion.proposer import LossProposalModule
from fusekit_refusion.reconstruction import ReconstructionModule
from fusekit_uaafusion.attribution import AttributionGuidance, AttributionProposer
from fusekit_uaafusion.config import JointConfig, StageConfig, UnfoldingConfig
from fusekit_uaafusion.joint import JointTraining
from fusekit_uaafusion.stage import AttributionStage
from fusekit_uaafusion.unfolding import UnfoldingBackbone
from tests.networks import ROLES, TinySegmenter, class_table, scene

pytestmark = pytest.mark.slow

WORLD = 2
CPU = torch.device("cpu")


# What every process does; the one process of comparison does it too ------------------------------------------


class SharedScenes:
    """Batches of four by number, in double precision; each process takes every WORLD-th sample."""

    batches_per_epoch = 2

    def batch(self, stream: str, epoch: int, index: int) -> Batch:
        sources, labels = scene(4, 16, 16, seed=100 * epoch + 10 * index + len(stream), dtype=torch.float64)
        share = slice(distributed.rank(), None, distributed.world_size())
        ids = tuple(f"{stream}-{epoch}-{index}-{sample}" for sample in range(4))
        return Batch((sources[0][share], sources[1][share]), labels[share], ids[share])


def meta_system() -> FusionSystem:
    size = {"channels": 4, "heads": 2, "blocks": 1}
    context = BuildContext(roles=ROLES)
    return FusionSystem(
        FusionNetwork(NetworkConfig(**size), context),
        proposer=LossProposalModule(ProposerConfig(**size), context),
        reconstruction=ReconstructionModule(ReconstructionConfig(**size), context),
    )


def meta(**options: Any) -> MetaLearning:
    return MetaLearning(MetaConfig(rounds=2, **options), Builder(ROLES, None).context)


def joint_system(segmenter: TinySegmenter) -> FusionSystem:
    context = BuildContext(
        roles=ROLES, classes=class_table(4), builder=lambda kind, ref: AttributionStage(StageConfig(channels=2))
    )
    return FusionSystem(
        UnfoldingBackbone(UnfoldingConfig(stages=2, channels=2), context),
        proposer=AttributionProposer(),
        guidance=AttributionGuidance(),
        task=segmenter,
        classes=class_table(4),
    )


class RestlessSegmenter(TinySegmenter):
    """With batch norm and dropout: what makes a process differ from the others."""

    def __init__(self) -> None:
        super().__init__(4)
        assert isinstance(self.net, nn.Sequential)
        self.net.insert(1, nn.BatchNorm2d(8))
        self.net.insert(3, nn.Dropout(0.3))


ADAM = {"name": "adam", "lr": 1e-2}
SGD = {"name": "sgd", "lr": 1e-1, "momentum": 0.9}
CASES: dict[str, tuple[Callable[[], FusionSystem], Callable[[], Strategy], dict[str, Any]]] = {
    "meta": (meta_system, meta, {"optimiser": ADAM}),
    "meta, 3 inner steps": (meta_system, lambda: meta(inner_steps=3, inner_rate=0.1), {"optimiser": SGD, "clip": 1.0}),
    "meta, normalised": (meta_system, lambda: meta(outer_rule="normalised"), {"optimiser": SGD}),
    "joint": (
        lambda: joint_system(TinySegmenter(4)),
        lambda: JointTraining(JointConfig(), Builder(ROLES, None).context),
        {"optimiser": ADAM, "clip": 0.1},
    ),
    "restless": (
        lambda: joint_system(RestlessSegmenter()),
        lambda: JointTraining(JointConfig(), Builder(ROLES, None).context),
        {"optimiser": ADAM},
    ),
}
EXACT = [name for name in CASES if name != "restless"]


def train(case: str, folder: Path | None, *, seed: int = 0, **options: Any) -> FusionSystem:
    """Six steps of a case; initial weights by rank, so that only the first process's can be the right ones."""
    make_system, make_strategy, settings = CASES[case]
    torch.manual_seed(seed + distributed.rank())
    system = make_system().double()
    section = TrainSection.model_validate(
        {"strategy": {"use": "uaafusion.joint"}, "epochs": 9, "max_steps": 6, "checkpoint_every": 2, **settings}
    )
    Trainer(system, make_strategy(), SharedScenes(), section, folder=folder, seed=7).fit(**options)
    return system


class ThreeScenes:
    """Validation scenes, one a batch; three, which two processes cannot share equally."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return 3

    def batch(self, stream: str, epoch: int, index: int) -> Batch:
        self.read.append(index)
        sources, labels = scene(1, 16, 16, seed=900 + index, dtype=torch.float64)
        return Batch(sources, labels, (f"validation-{index}",))


def validated(folder: Path, *, resume: bool = False, stop_after: int | None = None) -> dict[str, Any]:
    """A joint training that gets worse with its high rate, until patience ends it; what it comes to."""
    torch.manual_seed(distributed.rank())
    system = joint_system(TinySegmenter(4)).double()
    strategy, scenes = JointTraining(JointConfig(), Builder(ROLES, None).context), ThreeScenes()
    section = TrainSection.model_validate(
        {
            "strategy": {"use": "uaafusion.joint"},
            "epochs": 20,
            "checkpoint_every": 2,
            "optimiser": {"name": "sgd", "lr": 1.0, "momentum": 0.9},
            "validate": {"loss": "total", "every": 1, "patience": 3},
        }
    )
    validator = LossValidator(strategy, "total", scenes, CPU)  # type: ignore[arg-type]
    trainer = Trainer(system, strategy, SharedScenes(), section, folder=folder, seed=7, validator=validator)
    steps = trainer.fit(resume=resume, stop_after=stop_after)
    torch.save(system.state_dict(), folder / f"weights {distributed.rank()}.pt")
    return {"steps": steps, "validation_state": asdict(trainer.validation_state), "read": scenes.read}


class Exploding(Strategy):
    """Fine for two steps; then the loss or its slope is not finite, in the last process only."""

    def __init__(self, what: str) -> None:
        self.what, self.count = what, 0

    def setup(self, training: TrainingContext) -> None:
        self.weight = nn.Parameter(torch.ones(()))
        training.backbone.register_parameter("weight", self.weight)
        self.update = training.updater("fusion", training.backbone)

    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        self.count += 1
        loss = self.weight**2
        if self.count == 3 and distributed.rank() == WORLD - 1:
            slope = (self.weight - self.weight.detach()).abs().sqrt()  # finite, its slope is not
            loss = loss * math.nan if self.what == "loss" else loss + slope
        self.update(loss)
        return StepRecord({"total": loss.item()})


def explode(what: str, folder: Path) -> dict[str, Any]:
    system = FusionSystem(Mean())
    section = TrainSection.model_validate({"strategy": {"use": "uaafusion.joint"}, "epochs": 9})
    try:
        Trainer(system, Exploding(what), SharedScenes(), section, folder=folder).fit()
    except NonFiniteError as error:
        weight = next(system.parameters())
        return {
            "message": error.message,
            "hint": error.hint,
            "elsewhere": error.elsewhere,
            "weight": weight.item(),
        }
    return {}


def drawn() -> list[float]:
    """What this process draws in four steps."""
    numbers: list[float] = []

    class Drawing(Exploding):
        def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
            numbers.append(torch.rand(()).item())
            self.update(self.weight**2)
            return StepRecord()

    section = TrainSection.model_validate({"strategy": {"use": "uaafusion.joint"}, "epochs": 2})
    Trainer(FusionSystem(Mean()), Drawing(""), SharedScenes(), section).fit()
    return numbers


def through_steps(inputs: Tensor, phi: Tensor, theta: Tensor) -> Tensor:
    """dL(θ'')/dφ after two differentiable steps, averaged as an updater does."""
    weights = {"theta": theta, "unused": torch.ones(2, dtype=torch.float64, requires_grad=True)}
    for _ in range(2):
        inner = ((weights["theta"] * inputs).tanh() * phi.exp()).mean()
        weights = differentiable_step(weights, inner, 0.5)
    outer = (weights["theta"] * inputs).square().mean() + phi.square().sum()
    gradient = torch.autograd.grad(outer, phi)
    [mean] = distributed.mean_gradients(gradient, [phi])
    assert mean is not None
    return torch.cat([mean, weights["theta"].detach(), weights["unused"].detach()])


def inner_gradients() -> Tensor:
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(8, 3, generator=generator, dtype=torch.float64)
    phi, theta = (torch.randn(3, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2))
    return through_steps(inputs[distributed.rank() :: distributed.world_size()], phi, theta)


def partly_used() -> list[list[float] | None]:
    """One weight used everywhere, one in the last process, one nowhere."""
    weights = [torch.zeros(2), torch.zeros(3), torch.zeros(1)]
    number = float(distributed.rank())
    gradients = [torch.full((2,), 1 + number), torch.full((3,), 4.0) if number else None, None]
    return [mean.tolist() if mean is not None else None for mean in distributed.mean_gradients(gradients, weights)]


def process(number: int, folder: Path) -> None:
    """All that the tests look at, done in one of two processes."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meet'}", rank=number, world_size=WORLD)
    for case in EXACT:
        torch.save(train(case, folder / case).state_dict(), folder / f"{case} {number}.pt")
    for what in ("loss", "gradient"):
        (folder / f"{what} {number}.json").write_text(json.dumps(explode(what, folder / what)))
    torch.save(inner_gradients(), folder / f"inner {number}.pt")
    (folder / f"drawn {number}.json").write_text(json.dumps(drawn()))
    (folder / f"used {number}.json").write_text(json.dumps(partly_used()))

    (folder / f"validated {number}.json").write_text(json.dumps(validated(folder / "validated")))
    validated(folder / "validated, cut", stop_after=3)
    found = validated(folder / "validated, cut", resume=True)
    (folder / f"validated, cut {number}.json").write_text(json.dumps(found))

    torch.save(train("restless", folder / "straight").state_dict(), folder / f"straight {number}.pt")
    train("restless", folder / "cut", stop_after=4)
    resumed = train("restless", folder / "cut", seed=99, resume=True)
    torch.save(resumed.state_dict(), folder / f"resumed {number}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that two processes have filled."""
    folder = tmp_path_factory.mktemp("two")
    mp.spawn(process, (folder,), nprocs=WORLD)
    return folder


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


# Two processes against one ---------------------------------------------------------------------------------


@pytest.mark.parametrize("case", EXACT)
def test_two_processes_equal_one(two: Path, case: str, tmp_path: Path) -> None:
    alone = train(case, tmp_path).state_dict()
    first, second = (torch.load(two / f"{case} {number}.pt") for number in range(WORLD))
    assert largest_difference(first, second) == 0.0
    assert largest_difference(first, alone) < 1e-12
    torch.manual_seed(0)
    assert largest_difference(CASES[case][0]().double().state_dict(), alone) > 1e-3  # they did learn
    # The curves are those of the whole batch, written once.
    logs = [
        [json.loads(line) for line in (f / "metrics.jsonl").read_text().splitlines()] for f in (two / case, tmp_path)
    ]
    assert [record["step"] for record in logs[0]] == [1, 2, 3, 4, 5, 6]
    for ours, theirs in zip(*logs, strict=True):
        assert list(ours["losses"]) == list(theirs["losses"])
        assert ours["losses"] == pytest.approx(theirs["losses"], rel=1e-10)


def test_gradients_through_inner_steps_are_those_of_one_process(two: Path) -> None:
    alone = inner_gradients()
    for number in range(WORLD):
        found = torch.load(two / f"inner {number}.pt")
        assert torch.allclose(found, alone, rtol=0, atol=1e-14)


def test_a_weight_used_in_one_process_only_gets_zeros_from_the_others(two: Path) -> None:
    for number in range(WORLD):
        assert json.loads((two / f"used {number}.json").read_text()) == [[1.5, 1.5], [2.0, 2.0, 2.0], None]


def test_the_first_process_draws_what_one_would_and_the_other_its_own(two: Path) -> None:
    first, second = (json.loads((two / f"drawn {number}.json").read_text()) for number in range(WORLD))
    assert first == drawn()
    assert len({*first, *second}) == 8


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_in_one_process_stops_all_with_one_saved_state(two: Path, what: str) -> None:
    first, last = (json.loads((two / f"{what} {number}.json").read_text()) for number in range(WORLD))
    assert "at step 3 (train) in process 1" in first["message"]
    assert f"{what} " in first["message"]
    assert "train/train-1-0-1" in first["hint"]  # a sample of the other process
    assert first["hint"] == last["hint"]
    assert (first["elsewhere"], last["elsewhere"]) == (True, False)
    assert math.isfinite(first["weight"])
    assert first["weight"] == last["weight"] != 1.0
    assert [p.name for p in (two / what / "diverged" / "train").iterdir()] == ["step-00000002"]
    assert "diverged" in first["message"]


def test_resume_is_bit_exact_with_statistics_and_dropout(two: Path) -> None:
    straight = [torch.load(two / f"straight {number}.pt") for number in range(WORLD)]
    assert largest_difference(*straight) == 0.0
    for number in range(WORLD):
        assert largest_difference(torch.load(two / f"resumed {number}.pt"), straight[0]) == 0.0
    steps = [json.loads(line)["step"] for line in (two / "cut" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_processes_share_validation_and_agree_on_best_and_end(two: Path, tmp_path: Path) -> None:
    alone = validated(tmp_path)
    assert alone["validation_state"]["stopped"]
    assert 0 < alone["validation_state"]["step"] < alone["steps"] < 40
    for run in ("validated", "validated, cut"):
        first, second = (json.loads((two / f"{run} {number}.json").read_text()) for number in range(WORLD))
        assert first["validation_state"] == second["validation_state"]
        assert first["validation_state"] == pytest.approx(alone["validation_state"], rel=1e-9)
        assert first["steps"] == second["steps"] == alone["steps"]
        assert (set(first["read"]), set(second["read"])) == ({0, 2}, {1})
        weights = [torch.load(two / run / f"weights {number}.pt") for number in range(WORLD)]
        assert largest_difference(*weights) == 0.0
        assert largest_difference(weights[0], torch.load(tmp_path / "weights 0.pt")) < 1e-9
        kept = [path.name for path in (two / run / "checkpoints" / "train" / "best").iterdir()]
        assert kept == [f"step-{alone['validation_state']['step']:08d}"]
    logs = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (two / "validated", two / "validated, cut", tmp_path)
    ]
    for log in logs[:2]:
        assert [(r["step"], r["name"]) for r in log] == [(r["step"], r["name"]) for r in logs[2]]


# Shares of a batch -----------------------------------------------------------------------------------------


class Numbered(FusionDataset):
    """Scenes that are as grey as their number says."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.read: list[int] = []

    @property
    def ids(self) -> Sequence[str]:
        return [str(number) for number in range(self.count)]

    def __getitem__(self, index: int) -> Sample:
        self.read.append(index)
        grey = torch.full((1, 16, 16), index / 255)
        return Sample(str(index), (grey, 1 - grey), None)


def shares(count: int, batch: int, world: int, **sampling: Any) -> list[TrainingData]:
    section = SamplingSection.model_validate({"size": 16, **sampling})
    return [TrainingData(Numbered(count), section, batch, seed=0, share=(rank, world)) for rank in range(world)]


@pytest.mark.parametrize("world", [2, 3])
def test_shares_make_the_batch_and_read_nothing_else(world: int) -> None:
    whole, parts = shares(14, 6, 1)[0], shares(14, 6, world)
    for index in range(3):
        ids = whole.batch("train", 0, index).ids
        taken = [part.batch("train", 0, index) for part in parts]
        assert [batch.ids for batch in taken] == [ids[rank::world] for rank in range(world)]
    assert {part.batches_per_epoch for part in parts} == {2}
    for part in parts:
        assert len(part._dataset.read) <= 3 * 6 // world  # type: ignore[attr-defined]


def test_swapped_copies_are_of_the_own_samples() -> None:
    for part in shares(4, 4, 2, swap=True):
        batch = part.batch("train", 0, 0)
        assert batch.ids[:2] == batch.ids[2:]
        assert torch.equal(batch.sources[0][:2], batch.sources[1][2:])


def test_an_unequal_division_is_refused() -> None:
    with pytest.raises(UsageError, match="batch of 5 samples cannot be divided equally among 2") as caught:
        shares(14, 5, 2)
    assert "train.batch a multiple of 2" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="3 samples of the training split make one batch"):
        shares(3, 4, 2)
    assert shares(2, 4, 2)[1].batch("train", 0, 0).sources[0].shape[0] == 1


def test_too_few_gpus_are_named_by_all_processes_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    variables = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(UsageError, match="4 processes on this machine need one GPU each, but only 2 are available"),
        distributed.process_group(torch.device("cuda")),
    ):
        pass


# The command, under torchrun -------------------------------------------------------------------------------

RECIPE = """
schema: 1
name: tiny
seed: 3
data: {use: scenes.streets, params: {train: 4, val: 1, test: 2, height: 48, width: 64}}
model:
  backbone: {use: refusion.network, params: {channels: 4, heads: 2, blocks: 1}}
  proposer: {use: refusion.proposer, params: {channels: 4, heads: 2, blocks: 1}}
  reconstruction: {use: refusion.reconstruction, params: {channels: 4, heads: 2, blocks: 1}}
train:
  strategy: {use: refusion.meta, params: {rounds: 2}}
  batch: 2
  sampling: {size: 32}
evaluate: {pictures: 0, metrics: [strict.en]}
"""


def torchrun(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """``fusekit run`` of the recipe in two processes."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(WORLD)]
    command = ["-m", "fusekit", "run", str(recipe), "--runs", str(folder / "runs"), "--device", "cpu", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, *launcher, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_torchrun_runs_a_recipe_to_its_report(tmp_path: Path) -> None:
    done = torchrun(tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "tiny"
    assert done.stdout.splitlines() == [str(run / "report.html")]
    assert done.stderr.count("4 steps of 2 samples, each shared by 2 processes") == 1
    assert json.loads((run / "run.json").read_text())["processes"] == 2
    alone = fusekit.run(tmp_path / "recipe.yaml", runs=tmp_path / "alone", device="cpu", stage="train")
    difference = largest_difference(load_file(run / "model.safetensors"), load_file(alone.folder.model))
    assert difference < 1e-5  # float32 sums in another order


@pytest.mark.slow
def test_torchrun_says_once_that_a_batch_cannot_be_divided(tmp_path: Path) -> None:
    done = torchrun(tmp_path, "-o", "train.batch=3")
    assert done.returncode != 0
    assert done.stderr.count("a batch of 3 samples cannot be divided equally among 2 processes") == 1
    assert "exitcode  : 2" in done.stderr  # torchrun's own report of the first process


FAULTY = """
import os
from fusekit_scenes.config import StreetsConfig
from fusekit_scenes.streets import Streets
from fusekit.errors import DataError
from fusekit.plugin import component, hookimpl

class Faulty(Streets):
    Config = StreetsConfig
    def __getitem__(self, index):
        if os.environ["RANK"] == "1":
            raise DataError("this scene cannot be read by process 1")
        return super().__getitem__(index)

@hookimpl
def fusekit_components():
    return [component("dataset", "local.faulty", target=f"{__name__}:Faulty", summary="Fails in one process")]
"""


@pytest.mark.slow
def test_an_error_of_one_process_is_said_and_ends_all(tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    done = torchrun(tmp_path, "--with", str(tmp_path / "faulty.py"), "-o", "data.use=local.faulty")
    assert done.returncode != 0
    assert done.stderr.count("error: this scene cannot be read by process 1") == 1
    assert "exitcode  : 4" in done.stderr
