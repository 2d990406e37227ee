"""Observers of a run: what they hear, and that nothing they do or fail to do changes the run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import fusekit
from fusekit.errors import PluginError, RunError
from fusekit.pipeline import run as run_module
from fusekit.pipeline.display import Display
from fusekit.pipeline.run_folder import fingerprints
from fusekit.recipe.problems import RecipeProblems
from fusekit.training.log import TrainingLog
from tests.observers.observed_run import watched_recipe
from tests.observers.recording_observers import Meddler, Recorder, Throws

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _nothing_heard() -> None:
    Recorder.heard.clear()
    Throws.calls.clear()


def train(folder: Path, observe: str = "[]", *overrides: str, **options: Any) -> tuple[Any, str]:
    """A run of the training stage, and all that it said."""
    said = io.StringIO()
    display = Display(Console(file=said, width=300))
    options = {"stage": "train", **options}
    made = fusekit.run(watched_recipe(observe, *overrides), runs=folder, device="cpu", display=display, **options)
    return made, said.getvalue()


def test_an_observer_hears_of_everything_in_order(tmp_path: Path) -> None:
    run, _ = train(tmp_path, "[{use: watch.recorder}]", stage=None)
    calls = Recorder.heard["main"]
    steps = ["step_finished", "step_finished", "validated"]
    assert [event for event, _ in calls] == ["run_started", "phase_started", *steps, *steps, "run_finished"]
    assert calls[0][1] == {"name": "watched", "resume": False}
    assert calls[1][1] == {"phase": "train", "steps_done": 0, "total_steps": 4}
    assert calls[-1][1] == {"outcome": "finished", "error": "", "ended_early": []}
    records = TrainingLog(run.folder.log).read()
    steps = [record for record in records if record["name"] != "validation"]
    keys = ("phase", "step", "epoch", "name", "lr", "losses", "seconds")
    assert [facts for event, facts in calls if event == "step_finished"] == [{k: r[k] for k in keys} for r in steps]
    heard = [facts for event, facts in calls if event == "validated"]
    assert [(v["step"], v["value"], v["best"]) for v in heard] == [
        (r["step"], r["losses"]["validation strict.en"], r["validation"]["best"])
        for r in records
        if r["name"] == "validation"
    ]
    assert {(v["phase"], v["measure"], v["higher"], v["scenes"]) for v in heard} == {("train", "strict.en", True, 2)}


def test_a_run_with_observers_is_the_run_without(tmp_path: Path) -> None:
    """Also with one that seeds and draws, sets the gradient mode and overwrites what it is told."""
    plain, _ = train(tmp_path / "without")
    Meddler.calls = 0
    watched, said = train(tmp_path / "with", "[{use: watch.meddler}, {use: watch.recorder}]")
    assert Meddler.calls == 9
    assert "failed" not in said
    assert [facts["losses"] for event, facts in Recorder.heard["main"] if event == "step_finished"][-1]
    one, other = load_file(plain.folder.model), load_file(watched.folder.model)
    assert set(one) == set(other)
    assert all(torch.equal(one[name], other[name]) for name in one)
    for record, same in zip(TrainingLog(plain.folder.log).read(), TrainingLog(watched.folder.log).read(), strict=True):
        assert {**record, "seconds": 0} == {**same, "seconds": 0}
    assert torch.is_grad_enabled()


def test_random_states_are_put_back_outside_of_steps(tmp_path: Path) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    fusekit.run(watched_recipe("[{use: watch.meddler}]", "train.epochs=0"), runs=tmp_path, device="cpu", stage="train")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


@pytest.mark.parametrize("how", ["ValueError", "SystemExit"])
def test_an_observer_that_fails_costs_one_warning(tmp_path: Path, how: str) -> None:
    observe = f"[{{use: watch.throws, params: {{how: {how}, at: 2}}}}, {{use: watch.recorder}}]"
    run, said = train(tmp_path, observe)
    warning = "observer 'watch.throws' failed in fusekit_step_finished and receives no further events of this run: "
    assert said.count("watch.throws") == 1
    assert f"{warning}{how}: no room at step 2\n" in said
    assert Throws.calls == ["step 1", "step 2"]
    assert [event for event, _ in Recorder.heard["main"]].count("step_finished") == 4
    assert run.folder.model.exists()


def test_what_fails_in_one_of_two_does_not_silence_the_other(tmp_path: Path) -> None:
    observe = "[{use: watch.throws}, {use: watch.throws, params: {at: 3}}]"
    _, said = train(tmp_path, observe)
    assert Throws.calls == ["step 1", "step 1", "step 2", "step 3"]
    assert "observer 'watch.throws' failed" in said
    assert "observer 'watch.throws (observe.1)' failed" in said


def test_interrupted_and_resumed_with_other_observers(tmp_path: Path) -> None:
    stop = "[{use: watch.throws, params: {how: KeyboardInterrupt, at: 3}}, {use: watch.recorder}]"
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop, "train.checkpoint_every=1")
    ended = {"outcome": "interrupted", "error": "stopped with Ctrl-C", "ended_early": []}
    assert Recorder.heard["main"][-1] == ("run_finished", ended)
    Recorder.heard.clear()
    train(tmp_path, "[{use: watch.recorder}]", "train.checkpoint_every=1", resume=True)
    calls = Recorder.heard["main"]
    assert calls[1] == ("phase_started", {"phase": "train", "steps_done": 2, "total_steps": 4})
    assert [facts["step"] for event, facts in calls if event == "step_finished"] == [3, 4]
    Recorder.heard.clear()
    train(tmp_path, "[{use: watch.recorder}]", "train.checkpoint_every=1", resume=True)
    assert [event for event, _ in Recorder.heard["main"]] == ["run_started", "run_finished"]


def test_a_failed_run_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RunError("the disk is full", hint="make room")

    monkeypatch.setattr(run_module, "train_stage", full)
    with pytest.raises(RunError):
        train(tmp_path, "[{use: watch.recorder}]")
    assert Recorder.heard["main"][1:] == [
        ("run_finished", {"outcome": "failed", "error": "the disk is full", "ended_early": []})
    ]


def test_phases_that_validation_ended_are_named(tmp_path: Path) -> None:
    patience = ("train.epochs=9", "train.validate.every=1", "train.validate.patience=1", "train.validate.min_delta=9")
    train(tmp_path, "[{use: watch.recorder}]", *patience)
    assert Recorder.heard["main"][-1][1]["ended_early"] == ["train"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("unmarked", r"fusekit_step_finished\(\) looks like a hook but is not marked"),
        ("misspelt", "unknown hook 'fusekit_step_done'"),
        ("curious", "{'weights'} are declared in the hookimpl but can not be found in the hookspec"),
        ("deaf", "it implements no hook of a run"),
        ("quitting", "ended the program while it was built"),
    ],
)
def test_hooks_that_cannot_be_are_refused_before_anything_is_written(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(PluginError, match=reason):
        train(tmp_path, f"[{{use: watch.{name}}}]")
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_says_which_and_they_are_no_part_of_what_identifies_a_run() -> None:
    one = watched_recipe("[{use: tensorboard.scalars}]")
    assert one.plain["observe"] == [{"use": "tensorboard.scalars", "params": {"folder": "tensorboard", "every": 1}}]
    assert fingerprints(one) == fingerprints(watched_recipe())
    with pytest.raises(RecipeProblems, match=r"observe\.0\.use: no observer named 'tensorboard\.scalar'; did you mean"):
        watched_recipe("[{use: tensorboard.scalar}]")
    with pytest.raises(RecipeProblems, match=r"observe\.0\.params\.folder"):
        watched_recipe("[{use: tensorboard.scalars, params: {folder: ../elsewhere}}]")
