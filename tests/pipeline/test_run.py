"""A run from recipe to report: what it leaves, what it skips, what it refuses."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fusekit
from fusekit.errors import DataError, UsageError
from fusekit.model.assembly import build_dataset
from fusekit.pipeline.run import Run
from fusekit.pipeline.run_folder import RunFolder, fingerprints
from fusekit.recipe.model_card import read_card
from fusekit.weights.release import scene_list
from fusekit_metrics.gradient import EdgePreservation
from tests.pipeline.small import small_recipe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fusekit.run(small_recipe(), runs=tmp_path_factory.mktemp("runs"), device="cpu")


def test_leaves_everything(finished: Run) -> None:
    folder = finished.folder
    names = {p.name for p in folder.path.iterdir()}
    assert names >= {
        "recipe.yaml",
        "recipe.resolved.yaml",
        "checkpoints",
        "metrics.jsonl",
        "model.safetensors",
        "fused",
        "measured",
        "evaluation.json",
        "evaluation.csv",
        "report.html",
        "run.json",
    }
    assert len(list(folder.fused.iterdir())) == 3
    steps = [(r["phase"], r["step"]) for r in map(json.loads, folder.log.read_text().splitlines())]
    assert steps == [("segmenter", 1), ("segmenter", 2), ("train", 1), ("train", 2)]


def test_the_model_file_records_its_training(finished: Run) -> None:
    provenance, record = read_card(finished.folder.model).provenance, finished.folder.record()
    assert provenance["training"] == {"seconds": record["training_seconds"], "device": "cpu", "processes": 1}
    assert record["training_seconds"] > 0
    names = build_dataset(finished.recipe, "train").ids
    assert provenance["scenes"] == {"scenes": len(names), "sha256": scene_list(names).sha256}


def test_the_resolved_recipe_runs_to_the_same_run(finished: Run) -> None:
    again = fusekit.Recipe.load(finished.folder.recipe_resolved)
    assert fingerprints(again) == fingerprints(finished.recipe)


def test_table_holds_model_and_baselines_in_every_metric_with_its_dialect(finished: Run) -> None:
    evaluation = json.loads(finished.folder.evaluation.read_text())
    methods = [m["name"] for m in evaluation["methods"]]
    assert methods == ["small", "copy infrared", "copy visible", "mean", "max", "laplacian"]
    assert {m["dialect"] for m in evaluation["metrics"].values()} == {"strict"}
    assert len(evaluation["metrics"]) == 10
    rows = list(csv.DictReader(finished.folder.table.open()))
    assert len(rows) == 3 * len(methods)
    for method in evaluation["methods"]:
        for values in method["per_image"].values():
            assert len(values) == 3
    assert [row["input"] for row in evaluation["task"]["rows"]] == methods


def test_scored_is_the_luminance_on_disk(finished: Run) -> None:
    """A value recomputed from the files alone."""
    evaluation = json.loads(finished.folder.evaluation.read_text())
    scene = evaluation["scenes"][1]
    fused = torch.from_numpy(np.array(Image.open(finished.folder.measured / f"{scene}.png")))
    assert fused.dtype == torch.uint8
    sample = fusekit.model.assembly.build_dataset(finished.recipe, "test")[1]  # type: ignore[attr-defined]
    from fusekit.evaluation.grey import grey8

    expected = EdgePreservation()(fused, [grey8(image) for image in sample.images]).value
    model = evaluation["methods"][0]
    assert model["per_image"]["strict.qabf"][1] == pytest.approx(expected, rel=1e-12)
    values = [v for v in model["per_image"]["strict.qabf"] if v is not None]
    assert model["mean"]["strict.qabf"] == pytest.approx(math.fsum(values) / len(values))


def test_report_is_stamped_synthetic(finished: Run) -> None:
    html = finished.folder.report.read_text()
    assert "Synthetic data" in html
    assert "weight of infrared" in html
    assert "segmentation of fused" in html


def test_a_second_run_skips_what_is_done(finished: Run) -> None:
    before = finished.folder.model.stat().st_mtime_ns, finished.folder.evaluation.stat().st_mtime_ns
    fusekit.run(finished.recipe, runs=finished.folder.path.parent, device="cpu")
    after = finished.folder.model.stat().st_mtime_ns, finished.folder.evaluation.stat().st_mtime_ns
    assert before == after


def test_another_training_in_the_same_folder_is_refused(finished: Run) -> None:
    with pytest.raises(UsageError, match="another recipe") as caught:
        fusekit.run(small_recipe(seed=4), runs=finished.folder.path.parent, device="cpu")
    assert "-o name=" in (caught.value.hint or "")


def test_other_evaluation_settings_keep_the_training(tmp_path: Path) -> None:
    fusekit.run(small_recipe(evaluate__pictures=0), runs=tmp_path, device="cpu")
    folder = RunFolder(tmp_path / "small")
    model = folder.model.stat().st_mtime_ns
    fusekit.run(small_recipe(evaluate__pictures=0, evaluate__metrics="[strict.en]"), runs=tmp_path, device="cpu")
    assert folder.model.stat().st_mtime_ns == model
    assert list(json.loads(folder.evaluation.read_text())["metrics"]) == ["strict.en"]


def test_stages_one_by_one(tmp_path: Path) -> None:
    recipe = small_recipe(evaluate__pictures=0)
    with pytest.raises(UsageError, match="needs a trained model"):
        fusekit.run(recipe, runs=tmp_path, device="cpu", stage="fuse")
    fusekit.run(recipe, runs=tmp_path, device="cpu", stage="train")
    folder = RunFolder(tmp_path / "small")
    assert folder.model.exists()
    assert not folder.fused.exists()
    with pytest.raises(UsageError, match="needs fused images"):
        fusekit.run(recipe, runs=tmp_path, device="cpu", stage="evaluate")
    fusekit.run(recipe, runs=tmp_path, device="cpu", stage="fuse")
    fusekit.run(recipe, runs=tmp_path, device="cpu", stage="evaluate")
    assert folder.report.exists()


def test_interrupted_training_wants_resume_and_then_equals_the_straight_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small_recipe(train__checkpoint_every=1, evaluate__pictures=0)
    fusekit.run(recipe, runs=tmp_path / "straight", device="cpu", stage="train")

    from fusekit.pipeline import train_stage

    real = train_stage.Trainer.fit

    def cut(self: train_stage.Trainer, **options: bool) -> int:
        if self.phase != "train":
            return real(self, **options)
        real(self, stop_after=1)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train_stage.Trainer, "fit", cut)
        with pytest.raises(KeyboardInterrupt):
            fusekit.run(recipe, runs=tmp_path / "cut", device="cpu", stage="train")
    with pytest.raises(UsageError, match="unfinished training") as caught:
        fusekit.run(recipe, runs=tmp_path / "cut", device="cpu", stage="train")
    assert "--resume" in (caught.value.hint or "")
    fusekit.run(recipe, runs=tmp_path / "cut", device="cpu", stage="train", resume=True)
    weights = [fusekit.load(tmp_path / run / "small", device="cpu").system.state_dict() for run in ("straight", "cut")]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def test_loaded_model_fuses_every_container(finished: Run) -> None:
    model = fusekit.load(finished.folder.path, device="cpu")
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (40, 50), dtype=np.uint8)
    colour = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    fused = model.fuse(grey, colour)
    assert fused.shape == (40, 50, 3)
    assert fused.dtype == np.uint8
    assert model.fuse(grey.astype(np.uint16) * 257, grey.astype(np.uint16) * 257).dtype == np.uint16
    assert model.fuse(grey / 255.0, grey / 255.0).dtype == np.float64
    pair = (torch.rand(2, 1, 40, 50), torch.rand(2, 1, 40, 50))
    batch = model.fuse(*pair)
    assert batch.shape == (2, 1, 40, 50)
    torch.testing.assert_close(batch[1], model.fuse(pair[0][1], pair[1][1]))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ((np.zeros((40, 50), np.uint8), np.zeros((40, 51), np.uint8)), "differ in size: 50x40, 51x40"),
        ((np.zeros((40, 50), np.uint8),), "fuses 2 sources"),
        ((np.zeros((8, 50), np.uint8),) * 2, "too small"),
        ((np.full((40, 50), np.nan),) * 2, "must be in"),
        ((np.full((40, 50), 2.0),) * 2, "must be in"),
        ((np.zeros((40, 50, 2), np.uint8),) * 2, r"must be .*\(40, 50, 2\)"),
        ((np.zeros((40, 50), np.int32),) * 2, "uint8, uint16 or float"),
        (("a.png", np.zeros((40, 50), np.uint8)), "must all be paths, all arrays, or all tensors"),
        (("no.png", "file.png"), "no.png"),
        ((), "nothing to fuse"),
    ],
)
def test_bad_images_are_refused_in_a_sentence(finished: Run, images: tuple[object, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fusekit.load(finished.folder.path, device="cpu").fuse(*images)  # type: ignore[arg-type]


def test_equal_sources_in_colour_come_back_with_their_chroma(finished: Run) -> None:
    """The chroma of the only colour source is kept, whatever the network does to luminance."""
    from fusekit.data.colour import chroma

    model = fusekit.load(finished.folder.path, device="cpu")
    tinted = torch.full((3, 32, 32), 0.5)
    tinted[0] += 0.05
    scene = model.fuse_scene([torch.full((1, 32, 32), 0.5), tinted])
    torch.testing.assert_close(chroma(scene.image), chroma(tinted), atol=1e-5, rtol=0)


def test_explain_writes_pictures(finished: Run, tmp_path: Path) -> None:
    from fusekit.pipeline.explain import explain_scene

    for name in ("infrared", "visible"):
        Image.fromarray(np.random.default_rng(1).integers(0, 256, (48, 64), dtype=np.uint8)).save(
            tmp_path / f"{name}.png"
        )
    model = fusekit.load(finished.folder.path, device="cpu")
    written = explain_scene(model, [tmp_path / "infrared.png", tmp_path / "visible.png"], tmp_path / "out")
    assert {p.name for p in written} >= {
        "fused.png",
        "attribution-infrared.png",
        "weight-visible.png",
        "segmentation.png",
        "explained.png",
        "attribution.json",
    }
    assert all(p.is_file() for p in written)
    told = json.loads((tmp_path / "out" / "attribution.json").read_text())
    assert sum(region["pixels"] for region in told.values()) == 48 * 64
    assert {tuple(region) for region in told.values()} == {("pixels", "infrared", "visible")}
