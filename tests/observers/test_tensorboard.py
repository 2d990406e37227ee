"""The event files of a run, opened by TensorBoard's own reader."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import fusekit
from fusekit.errors import PluginError
from fusekit.training.log import TrainingLog
from fusekit_tensorboard.config import ScalarsConfig
from tests.observers.observed_run import watched_recipe

pytest.importorskip("tensorboard")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

pytestmark = pytest.mark.slow

TENSORBOARD = "{use: tensorboard.scalars}"


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag → step and value of every point that TensorBoard shows."""
    reader = EventAccumulator(str(folder))
    reader.Reload()
    return {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def logged(log: Path) -> dict[str, list[tuple[int, float]]]:
    """The same of the run's own log."""
    found: dict[str, list[tuple[int, float]]] = {}
    for record in TrainingLog(log).read():
        for name, value in record["losses"].items():
            tag = name.replace("validation ", "validation/") if record["name"] == "validation" else f"loss/{name}"
            found.setdefault(tag, []).append((record["step"], pytest.approx(value, rel=1e-6)))
        if "lr" in record:
            found.setdefault("learning_rate", []).append((record["step"], pytest.approx(record["lr"], rel=1e-6)))
    return found


def test_it_shows_the_numbers_of_the_log(tmp_path: Path) -> None:
    run = fusekit.run(watched_recipe(f"[{TENSORBOARD}]"), runs=tmp_path, device="cpu", stage="train")
    found = points(run.folder.path / "tensorboard" / "train")
    assert found == logged(run.folder.log)
    assert {"loss/total", "learning_rate", "validation/strict.en"} <= set(found)
    assert [step for step, _ in found["loss/total"]] == [1, 2, 3, 4]


def test_after_a_resume_every_step_has_one_point(tmp_path: Path) -> None:
    stop = "{use: watch.throws, params: {how: KeyboardInterrupt, at: 3}}"
    with pytest.raises(KeyboardInterrupt):  # step 3 is in the event files, and its checkpoint is not written
        fusekit.run(
            watched_recipe(f"[{TENSORBOARD}, {stop}]", "train.checkpoint_every=1"),
            runs=tmp_path,
            device="cpu",
            stage="train",
        )
    folder = tmp_path / "watched" / "tensorboard" / "train"
    assert [step for step, _ in points(folder)["loss/total"]] == [1, 2, 3]
    resumed = watched_recipe(f"[{TENSORBOARD}]", "train.checkpoint_every=1")
    run = fusekit.run(resumed, runs=tmp_path, device="cpu", stage="train", resume=True)
    assert [step for step, _ in points(folder)["loss/total"]] == [1, 2, 3, 4]
    assert points(folder) == logged(run.folder.log)


def test_fewer_points_in_another_folder(tmp_path: Path) -> None:
    thin = "[{use: tensorboard.scalars, params: {folder: events, every: 3}}]"
    run = fusekit.run(watched_recipe(thin), runs=tmp_path, device="cpu", stage="train")
    found = points(run.folder.path / "events" / "train")
    assert [step for step, _ in found["loss/total"]] == [3, 4]
    assert [step for step, _ in found["validation/strict.en"]] == [2, 4]
    assert not (run.folder.path / "tensorboard").exists()


def test_without_the_package_the_run_ends_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(PluginError, match=r"'tensorboard\.scalars' needs the package tensorboard") as caught:
        fusekit.run(watched_recipe(f"[{TENSORBOARD}]"), runs=tmp_path, device="cpu")
    assert caught.value.hint == "pip install 'image-fusekit[track]'"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["", ".", "..", "a/b", "/tmp", "model.safetensors", "a\n"])
def test_the_folder_stays_inside_of_the_run(folder: str) -> None:
    with pytest.raises(ValueError, match="folder"):
        ScalarsConfig(folder=folder)
