"""Validation of a run: which scenes, how they are measured, which weights are used, what is reported."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from safetensors.torch import load_file

import fusekit
from fusekit.errors import DataError
from fusekit.evaluation.benchmark import restored
from fusekit.pipeline import train_stage
from fusekit.pipeline.display import Display
from fusekit.pipeline.report_stage import stamps, training_curves
from fusekit.pipeline.run import Run
from fusekit.pipeline.train_stage import phases
from fusekit.pipeline.validators import split_scenes
from fusekit.training.checkpoint import CheckpointFolder
from fusekit.training.log import TrainingLog
from fusekit.training.validation import LossValidator
from tests.pipeline.small import small_recipe

pytestmark = pytest.mark.slow

VALIDATED: dict[str, Any] = {
    "pretrain__segmenter__validate": "{loss: task, every: 1}",
    "pretrain__segmenter__epochs": 2,
    "train__validate": "{metric: strict.en, every: 1}",
    "train__max_steps": 4,
    "train__epochs": 2,
    "train__optimiser__lr": 0.01,
    "data__params__val": 2,
    "fuse__split": "val",
    "evaluate__pictures": 0,
    "evaluate__metrics": "[strict.en]",
    "evaluate__baselines": "[]",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    said = io.StringIO()
    display = Display(Console(file=said, width=200))
    made = fusekit.run(small_recipe(**VALIDATED), runs=tmp_path_factory.mktemp("runs"), device="cpu", display=display)
    return made, said.getvalue()


def test_the_model_is_the_best_one_and_its_value_that_of_the_evaluation(finished: tuple[Run, str]) -> None:
    """The fused validation scenes, evaluated by the stage of a run, have the value that chose the weights."""
    run, said = finished
    found = json.loads((run.folder.path / "run.json").read_text())["validation"]["train"]
    records = [r for r in TrainingLog(run.folder.log).read() if r["phase"] == "train" and "validation" in r]
    values = {r["step"]: r["losses"]["validation strict.en"] for r in records}
    assert list(values) == [1, 2, 3, 4]
    assert len(set(values.values())) == 4
    best = max(values, key=lambda step: values[step])
    assert found == {
        "measure": "strict.en",
        "scenes": 2,
        "best_step": best,
        "best": values[best],
        "weights": "best",
        "ended_early": False,
    }
    evaluation = json.loads(run.folder.evaluation.read_text())
    assert evaluation["methods"][0]["mean"]["strict.en"] == pytest.approx(values[best], rel=1e-12)
    kept = CheckpointFolder(run.folder.path / "checkpoints" / "train" / "best").load(best)
    assert kept is not None
    model = load_file(run.folder.model)
    assert all(torch.equal(model[name], weight) for name, weight in kept.weights.items())
    assert f"train: best strict.en {values[best]:.4g} on 2 validation scenes after step {best} of 4" in said
    with safe_open(run.folder.model, framework="pt") as file:
        assert "best_step" in json.dumps(file.metadata())


def test_the_next_phase_begins_with_the_best_of_the_one_before(tmp_path: Path, monkeypatch: Any) -> None:
    began: dict[str, dict[str, torch.Tensor]] = {}

    class Watched(train_stage.Trainer):
        def __init__(self, system: Any, *args: Any, **options: Any) -> None:
            began[options["phase"]] = {name: value.clone() for name, value in system.state_dict().items()}
            super().__init__(system, *args, **options)

    monkeypatch.setattr(train_stage, "Trainer", Watched)
    worse = iter(range(9))
    monkeypatch.setattr(LossValidator, "mean", lambda self, values: float(next(worse)))
    recipe = small_recipe(
        pretrain__segmenter__validate="{loss: task, every: 1}",
        train__max_steps=1,
    )
    run = fusekit.run(recipe, runs=tmp_path, device="cpu", stage="train")
    place = run.folder.path / "checkpoints" / "segmenter"
    best, last = CheckpointFolder(place / "best").load(), CheckpointFolder(place).load()
    assert best is not None
    assert last is not None
    assert (best.position.step, last.position.step) == (1, 2)
    assert all(torch.equal(began["train"][name], weight) for name, weight in best.weights.items())


def test_the_report_shows_validation_beside_the_training(finished: tuple[Run, str]) -> None:
    run, _ = finished
    curves = {(curve.phase, curve.name): curve for curve in training_curves(TrainingLog(run.folder.log))}
    of_loss, of_metric = curves["segmenter", "validation task"], curves["train", "validation strict.en"]
    assert not of_loss.own_chart
    assert of_metric.own_chart
    found = json.loads((run.folder.path / "run.json").read_text())["validation"]
    assert (of_loss.best, of_metric.best) == (found["segmenter"]["best_step"], found["train"]["best_step"])
    page = run.folder.report.read_text()
    assert page.count('<circle class="best ') == 2
    assert "train: validation strict.en" in page
    assert f"best {found['train']['best']:.4g} at step {found['train']['best_step']}" in page
    assert "Best by validation" in page


@pytest.mark.slow
def test_an_interrupted_run_is_the_straight_one(finished: tuple[Run, str], tmp_path: Path, monkeypatch: Any) -> None:
    straight, _ = finished
    real = train_stage.Trainer.fit

    def cut(self: Any, **options: Any) -> int:
        if self.phase != "train":
            return real(self, **options)
        real(self, stop_after=2)
        raise KeyboardInterrupt

    recipe = small_recipe(**VALIDATED)
    with monkeypatch.context() as patch:
        patch.setattr(train_stage.Trainer, "fit", cut)
        with pytest.raises(KeyboardInterrupt):
            fusekit.run(recipe, runs=tmp_path, device="cpu", stage="train")
    resumed = fusekit.run(recipe, runs=tmp_path, device="cpu", stage="train", resume=True)
    models = [load_file(run.folder.model) for run in (straight, resumed)]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    logs = [
        [{k: v for k, v in r.items() if k != "seconds"} for r in TrainingLog(run.folder.log).read()]
        for run in (straight, resumed)
    ]
    assert logs[0] == logs[1]
    books = [json.loads((run.folder.path / "run.json").read_text())["validation"] for run in (straight, resumed)]
    assert books[0] == books[1]


def test_held_out_scenes_are_trained_on_in_no_phase(tmp_path: Path) -> None:
    recipe = small_recipe(
        data__params__train=10,
        pretrain__segmenter__validate="{loss: task, holdout: 0.1}",
        train__validate="{metric: strict.en, holdout: 0.3, limit: 2}",
    )
    scenes = split_scenes(recipe, phases(recipe))
    assert len(scenes.held_out) == 3
    assert set(scenes.trained.ids).isdisjoint(scenes.held_out)
    assert len(scenes.trained) == 7
    assert list(scenes.trained.ids) == sorted(scenes.trained.ids)
    assert {phase: len(found) for phase, found in scenes.validated.items()} == {"segmenter": 1, "train": 2}
    validated = {name for found in scenes.validated.values() for name in found.ids}
    assert validated <= set(scenes.held_out)
    assert split_scenes(recipe, phases(recipe)).held_out == scenes.held_out
    other = small_recipe(seed=8, data__params__train=10, train__validate="{metric: strict.en, holdout: 0.3}")
    assert split_scenes(other, phases(other)).held_out != scenes.held_out


def test_held_out_scenes_are_named_and_nothing_else_is_trained_on(tmp_path: Path) -> None:
    said = io.StringIO()
    recipe = small_recipe(train__validate="{loss: total, holdout: 0.25}", train__max_steps=1, evaluate__pictures=0)
    run = fusekit.run(
        recipe, runs=tmp_path, device="cpu", stage="train", display=Display(Console(file=said, width=200))
    )
    record = json.loads((run.folder.path / "run.json").read_text())
    assert len(record["held_out"]) == 1
    assert record["training_scenes"] == 3
    assert f"held out for validation: {record['held_out'][0]}\n" in said.getvalue()
    assert record["validation"]["train"]["scenes"] == 1


def test_all_scenes_cannot_be_held_out() -> None:
    recipe = small_recipe(data__params__train=1, train__validate="{metric: strict.en, holdout: 0.5}")
    with pytest.raises(DataError, match="none is left for training") as caught:
        split_scenes(recipe, phases(recipe))
    assert "holdout" in (caught.value.hint or "")


def test_a_split_that_is_the_test_split_is_said_where_it_is_fused() -> None:
    def titles(split: str, **params: str) -> list[str]:
        plain = {
            "schema": 1,
            "name": "n",
            "data": {"use": "data.msrs", "root": "nowhere", "params": params},
            "model": {"backbone": {"use": "baselines.mean"}},
            "fuse": {"split": split},
        }
        return [stamp.title for stamp in stamps(fusekit.Recipe.from_dict(plain, check_data=False))]

    assert titles("val") == ["Validation split"]
    assert titles("test") == []
    assert titles("val", val_folder="val") == []


def test_a_metric_that_is_never_defined_is_said(tmp_path: Path) -> None:
    """No rendered street has an ideal, so there is nothing to compare with."""
    said = io.StringIO()
    recipe = small_recipe(train__validate="{metric: ideal.psnr}", pretrain="null", evaluate__pictures=0)
    run = fusekit.run(
        recipe, runs=tmp_path, device="cpu", stage="train", display=Display(Console(file=said, width=200))
    )
    assert (
        "train: ideal.psnr was never finite on the 1 validation scenes, so the last weights are used" in said.getvalue()
    )
    found = json.loads((run.folder.path / "run.json").read_text())["validation"]["train"]
    assert (found["best_step"], found["weights"]) == (None, "last")
    (curve,) = [c for c in training_curves(TrainingLog(run.folder.log)) if c.name == "validation ideal.psnr"]
    assert curve.best is None
    assert all(value != value for value in map(restored, curve.values))
