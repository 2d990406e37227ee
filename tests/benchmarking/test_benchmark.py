"""The benchmark: its values, what it stores, and how it reports what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import fusekit
from fusekit.benchmarking import workbench
from fusekit.benchmarking.run import BenchmarkResult, benchmark
from fusekit.errors import DataError, FusekitError, UsageError
from fusekit.evaluation.confusion import Confusion
from fusekit.interfaces import SegmentationNetwork
from tests.benchmarking.conftest import SCENES, write


def run(plain: dict[str, Any], out: Path, **options: Any) -> BenchmarkResult:
    done = benchmark(plain, out=out, jobs=1, device="cpu", **options)
    assert done is not None
    return done


def row(done: BenchmarkResult, method: str, dataset: int = 0) -> dict[str, Any]:
    rows = done.plain["datasets"][dataset]["rows"]
    return next(r for r in rows if r["method"] == method)


class Counting:
    """Counts the images that are scored."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.images = 0
        self.metrics: list[str] = []
        score = workbench.score

        def counted(metrics: Any, fused: Any, *rest: Any) -> Any:
            self.images += len(fused)
            self.metrics += list(metrics)
            return score(metrics, fused, *rest)

        monkeypatch.setattr(workbench, "score", counted)


def test_values_are_those_of_evaluate(plain: dict[str, Any], data: Path, other: Path, tmp_path: Path) -> None:
    done = run(plain, tmp_path / "out")
    wanted = fusekit.evaluate(
        {"theirs": other},
        {"infrared": data / "test" / "ir", "visible": data / "test" / "vi"},
        metrics=plain["metrics"],
    ).plain
    assert done.plain["datasets"][0]["scenes"] == wanted["scenes"]
    for method in wanted["methods"]:
        found = row(done, method["name"])
        assert found["values"] == method["per_image"]
        assert found["mean"] == pytest.approx(method["mean"])
    assert row(done, "theirs")["per_source"]["strict.mi"] == next(
        m["per_image_per_source"]["strict.mi"] for m in wanted["methods"] if m["name"] == "theirs"
    )


def test_baselines_stand_in_every_table_and_the_files_are_there(plain: dict[str, Any], tmp_path: Path) -> None:
    done = run(plain, tmp_path / "out")
    names = [r["method"] for r in done.plain["datasets"][0]["rows"]]
    assert names[0] == "theirs"
    assert set(names[1:]) >= {"copy infrared", "copy visible", "mean", "max", "laplacian"}
    assert json.loads((done.folder / "benchmark.json").read_text()) == done.plain
    pictures = done.plain["datasets"][0]["pictures"]
    assert len(pictures) == 1
    (scene,) = pictures.values()
    for path in [*scene["sources"].values(), *(m["fused"] for m in scene["methods"].values())]:
        assert Image.open(done.folder / path).size == (48, 40)
    for name in ("index.html", "results.md", "results.tex", "results.csv"):
        assert "theirs" in (done.folder / name).read_text()


def test_what_is_stored_is_not_computed_again(
    plain: dict[str, Any], other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain["pictures"] = 0
    first = run(plain, tmp_path / "out")
    counting = Counting(monkeypatch)
    again = run(plain, tmp_path / "out")
    assert counting.images == 0
    assert again.plain["datasets"] == first.plain["datasets"]

    pixels = np.asarray(Image.open(other / "two.png")).copy()
    pixels[:8] = 0
    write(other / "two.png", pixels)
    changed = run(plain, tmp_path / "out")
    assert counting.images == 1  # only the image whose content changed
    before, after = (row(d, "theirs")["values"]["strict.en"] for d in (first, changed))
    assert [a == b for a, b in zip(before, after, strict=True)] == [
        s != "two" for s in changed.plain["datasets"][0]["scenes"]
    ]

    plain["metrics"].append("strict.ag")
    counting.metrics.clear()
    run(plain, tmp_path / "out")
    assert set(counting.metrics) == {"strict.ag"}


def test_undefined_values_are_stored_too(plain: dict[str, Any], data: Path, tmp_path: Path) -> None:
    write(data / "test" / "ir" / "two.png", np.zeros((40, 48), np.uint8))  # CC with a constant source is undefined
    plain["metrics"] = ["strict.cc"]
    first = run(plain, tmp_path / "out")
    place = first.plain["datasets"][0]["scenes"].index("two")
    assert None in row(first, "theirs")["per_source"]["strict.cc"][place]
    assert run(plain, tmp_path / "out").plain["datasets"] == first.plain["datasets"]


def test_a_damaged_store_is_computed_again(plain: dict[str, Any], tmp_path: Path) -> None:
    first = run(plain, tmp_path / "out")
    for number, path in enumerate(sorted((tmp_path / "out" / "cache" / "values").rglob("*.json"))):
        path.write_text(["", "[]", '{"strict.en": 1}', "\x00"][number % 4])
    assert run(plain, tmp_path / "out").plain["datasets"] == first.plain["datasets"]


def test_failures_are_shown_and_never_averaged_away(plain: dict[str, Any], other: Path, tmp_path: Path) -> None:
    (other / "one.png").unlink()
    write(other / "two.png", np.zeros((20, 48), np.uint8))
    done = run(plain, tmp_path / "out")
    found = row(done, "theirs")
    assert set(found["failed"]) == {"one", "two"}
    assert "no image with this stem" in found["failed"]["one"]
    assert "20x48" in found["failed"]["two"]
    values = dict(zip(done.plain["datasets"][0]["scenes"], found["values"]["strict.en"], strict=True))
    assert values["one"] is None is values["two"]
    assert found["mean"]["strict.en"] == values["three"]
    assert found["rank"]["strict.en"] is None is found["mean_rank"]
    assert found["undefined"] == {}  # failed images are not undefined values
    assert row(done, "mean")["rank"]["strict.en"] is not None
    assert any("2 images failed" in problem for problem in done.problems)


def test_other_ranges_and_hostile_names_are_shown_as_what_they_are(
    plain: dict[str, Any], other: Path, tmp_path: Path
) -> None:
    (other / "two.png").unlink()
    plain["methods"] = [
        {"name": "a\u202eb\nc", "images": str(other)},
        {"name": "stretched", "backbone": {"use": "baselines.mean"}, "fuse": {"range": "stretch"}},
    ]
    done = run(plain, tmp_path / "out")
    assert dict(done.plain["conditions"])["Range"] == "clip; stretched: stretch"
    assert done.problems == [f"scenes, ab c: 1 image failed (no image with this stem in {other})"]


def test_a_scene_that_cannot_be_read_is_named(plain: dict[str, Any], data: Path, tmp_path: Path) -> None:
    (data / "test" / "ir" / "two.png").write_bytes(b"no image")
    done = run(plain, tmp_path / "out")
    found = done.plain["datasets"][0]
    assert set(found["scenes"]) == {"one", "three"}
    assert "two.png" in found["unscored"]["two"]


def test_16_bit_images_beside_8_bit_ones_are_scored_by_their_levels(
    plain: dict[str, Any], other: Path, tmp_path: Path
) -> None:
    first = run(plain, tmp_path / "a")
    for scene in SCENES:
        pixels = np.asarray(Image.open(other / f"{scene}.png")).astype(np.uint16) * 257
        write(other / f"{scene}.png", pixels)
    second = run(plain, tmp_path / "b")
    assert row(second, "theirs")["values"] == row(first, "theirs")["values"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"methods": [{"images": "a"}, {"name": "a", "images": "b"}]}, FusekitError, "two methods have the name 'a'"),
        ({"methods": [{"name": "mean", "images": "OTHER"}]}, FusekitError, "name of a baseline: mean"),
        ({"methods": [{"images": "a", "model": "b"}]}, FusekitError, "exactly one of"),
        ({"methods": [{"name": "x", "images": "OTHER", "datasets": ["nil"]}]}, FusekitError, "no dataset is named"),
        ({"methods": [{"images": "nowhere"}]}, DataError, "nowhere: the folder does not exist"),
        ({"methods": [{"model": "nomodel"}]}, UsageError, "there is no model 'nomodel'"),
        ({"dialects": ["stric"]}, UsageError, "did you mean 'strict'"),
        ({"metrics": ["strict.enn"]}, UsageError, "strict.enn"),
        ({"datasets": [{"name": "gone", "use": "data.pairs", "root": "gone"}]}, DataError, "gone"),
    ],
)
def test_mistakes_are_named_before_anything_is_computed(
    plain: dict[str, Any], other: Path, tmp_path: Path, change: dict[str, Any], error: type, message: str
) -> None:
    text = json.dumps({**plain, **change}).replace("OTHER", str(other))
    with pytest.raises(error, match=message):
        run(json.loads(text), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_refused(plain: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    plain["methods"].append({"images": str(tmp_path / "empty")})
    with pytest.raises(DataError, match="contains no images"):
        run(plain, tmp_path / "out")


def test_missing_data_can_be_left_out(plain: dict[str, Any], tmp_path: Path) -> None:
    plain["datasets"].append({"name": "gone", "use": "data.pairs", "root": str(tmp_path / "gone")})
    with pytest.raises(DataError, match="gone"):
        run(plain, tmp_path / "out")
    done = run(plain, tmp_path / "out", skip_missing=True)
    assert [d["name"] for d in done.plain["datasets"]] == ["scenes"]
    assert any("gone is left out" in note for note in done.plain["notes"])


def test_a_folder_with_other_files_is_not_used(plain: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.html").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        run(plain, tmp_path / "out")
    assert (tmp_path / "out" / "index.html").read_text() == "mine"


def test_degradations_lower_the_scores_of_every_method(plain: dict[str, Any], tmp_path: Path) -> None:
    plain["robustness"] = [{"dataset": "scenes", "transforms": ["degradations.noise"], "metrics": ["strict.cc"]}]
    (found,) = run(plain, tmp_path / "out").plain["robustness"]
    assert found["severities"] == ["none", "light", "medium", "heavy"]
    assert "theirs" not in found["metrics"]["strict.cc"]  # its images of degraded sources are not known
    for values in found["metrics"]["strict.cc"].values():
        assert values == sorted(values, reverse=True)
        assert values[0] > values[-1]


def test_the_cost_of_a_rule(plain: dict[str, Any], tmp_path: Path) -> None:
    plain["baselines"] = [{"use": "baselines.mean"}]
    plain["cost"] = {"size": [64, 64], "repeats": 2}
    cost = run(plain, tmp_path / "out").plain["cost"]
    (measured,) = cost["rows"]  # images of another program have no cost
    assert measured["method"] == "mean"
    assert measured["parameters"] == 0
    assert measured["seconds"] > 0


@pytest.mark.slow
def test_several_processes_give_the_same_result(plain: dict[str, Any], tmp_path: Path) -> None:
    one = run(plain, tmp_path / "one")
    two = benchmark(plain, out=tmp_path / "two", jobs=2, device="cpu")
    assert two is not None
    assert two.plain["datasets"] == one.plain["datasets"]


def test_a_frozen_segmenter_sees_the_images_of_every_method(
    plain: dict[str, Any], data: Path, other: Path, tmp_path: Path
) -> None:
    segmenter = fusekit.load("segmenter-msrs", device="cpu").task
    assert isinstance(segmenter, SegmentationNetwork)
    random = np.random.default_rng(3)
    labels = {scene: random.integers(0, 3, (40, 48), dtype=np.uint8) for scene in SCENES}
    for scene, label in labels.items():
        write(data / "test" / "label" / f"{scene}.png", label)
    params = {"train_folder": None, "labels": "{split}/label", "class_names": list(segmenter.classes.names)}
    plain["datasets"][0]["params"] = params
    plain["baselines"] = [{"use": "baselines.mean"}]
    plain["downstream"] = [{"dataset": "scenes", "network": "segmenter-msrs"}]
    (table,) = run(plain, tmp_path / "out").plain["downstream"]

    wanted = Confusion(len(segmenter.classes), segmenter.ignored)
    for scene, label in labels.items():
        image = torch.from_numpy(np.asarray(Image.open(other / f"{scene}.png")).copy())[None, None] / 255.0
        with torch.no_grad():
            wanted.add(segmenter.predict(segmenter(image))[0], torch.from_numpy(label.astype(np.int64)))
    theirs, mean = table["rows"]
    assert (theirs["method"], mean["method"]) == ("theirs", "mean")
    assert theirs["value"] == pytest.approx(wanted.mean_iou())
    assert table["labels"] == "human"

    (other / "one.png").unlink()
    again = run(plain, tmp_path / "out")
    theirs, unchanged = again.plain["downstream"][0]["rows"]
    assert theirs["value"] is None  # over other scenes, the value could not be compared
    assert unchanged == mean
