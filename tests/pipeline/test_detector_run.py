"""A run with a detector: it is trained on boxes, and scored on every method's images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fusekit

pytestmark = pytest.mark.slow

CHANGES = {
    **{f"when_missing.data.params.{key}": value for key, value in (("train", 3), ("val", 1), ("test", 2))},
    **{f"when_missing.data.params.{key}": 64 for key in ("height", "width")},
    "model.task": "{use: tasks.centernet, params: {encoder: mobilenetv3_small_050, width: 8}}",
    "model.backbone": "{use: baselines.mean}",
    "when_missing.train": "{max_steps: 2, batch: 2, sampling: {size: 64}, validate: {holdout: null, every: 1}}",
    "evaluate.metrics": "[strict.en]",
    "evaluate.pictures": 1,
}


def test_rows_of_the_fused_image_and_of_each_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MSRS_ROOT", raising=False)
    overrides = [f"{path}={value}" for path, value in CHANGES.items()]
    recipe = fusekit.Recipe.load("detector_msrs_boxes", overrides)
    done = fusekit.run(recipe, device="cpu")
    task = json.loads(done.folder.evaluation.read_text())["task"]
    names = [row["input"] for row in task["rows"]]
    assert names == ["detector-msrs-boxes", "copy infrared", "copy visible", "max", "laplacian"]
    assert [row["is_model"] for row in task["rows"]] == [True, False, False, False, False]
    assert task["kind"] == "detection"
    assert task["images"] == 2
    assert sum(task["objects"]) > 0
    assert all(0 <= row["ap"] <= row["ap50"] <= 1 for row in task["rows"])
    logged = [json.loads(line) for line in done.folder.log.read_text().splitlines()]
    assert any("validation" in record for record in logged)
    report = done.folder.report.read_text()
    for text in (">Detection</h2>", "Average precision (AP) in %", ">AP50<", "objects in fused", "annotated objects"):
        assert text in report, text
    assert "Mean IoU" not in report
