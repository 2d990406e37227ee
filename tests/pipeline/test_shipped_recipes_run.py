"""Every shipped recipe runs to its report, with its own networks, on a few tiny rendered scenes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fusekit
from fusekit.recipe.library import ShippedRecipe, list_recipes

pytestmark = pytest.mark.slow

SCENES = {"train": 2, "val": 1, "test": 1, "height": 64, "width": 64}


def small(shipped: ShippedRecipe) -> list[str]:
    """Overrides that leave two steps of every phase, on two scenes."""
    whole = fusekit.Recipe.load(shipped.path, check_data=False).model
    overrides = [f"when_missing.data.params.{key}={value}" for key, value in SCENES.items()]
    phases = {**{f"pretrain.{name}": section for name, section in whole.pretrain.items()}, "train": whole.train}
    overrides += [
        f"when_missing.pretrain.{name}.max_steps=2"
        for name in whole.when_missing.get("pretrain", {})
        if name not in whole.pretrain
    ]
    for phase, section in phases.items():
        assert section is not None
        overrides += [
            f"when_missing.{phase}.max_steps=2",
            f"when_missing.{phase}.batch=2",
            f"when_missing.{phase}.sampling={{size: 64, stride: 64, min_contrast: 0}}",
        ]
        overrides += [f"when_missing.{phase}.streams.{name}.resize=[64, 96]" for name in section.streams]
        if section.strategy.use == "refusion.meta":
            overrides.append(f"when_missing.{phase}.strategy.params.rounds=1")  # then a step of each kind
    return [*overrides, "evaluate.pictures=1"]


@pytest.mark.parametrize("recipe", list_recipes(), ids=lambda shipped: shipped.name)
def test_runs(recipe: ShippedRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no data here
    for name in ("MSRS", "IVIF", "MEDICAL", "MULTIFOCUS", "MULTIEXPOSURE"):
        monkeypatch.delenv(f"{name}_ROOT", raising=False)
    loaded = fusekit.Recipe.load(recipe.path, small(recipe))
    assert loaded.synthetic_fallback is not None
    done = fusekit.run(loaded, device="cpu")
    evaluation = json.loads(done.folder.evaluation.read_text())
    assert evaluation["methods"][0]["is_model"]
    report = done.folder.report.read_text()
    assert "Synthetic data" in report
    if recipe.name == "detector_msrs_boxes":
        check_detection(evaluation["task"], report)


def check_detection(task: dict[str, Any], report: str) -> None:
    """The detector is scored on the fused image, on each source and on the baselines, and the report shows it."""
    assert task["kind"] == "detection"
    assert [row["input"] for row in task["rows"]] == [
        "detector-msrs-boxes",
        "copy infrared",
        "copy visible",
        "max",
        "laplacian",
    ]
    assert [row["is_model"] for row in task["rows"]] == [True, False, False, False, False]
    assert sum(task["objects"]) > 0
    assert all(0 <= row["ap"] <= row["ap50"] <= 1 for row in task["rows"])
    for text in (">Detection</h2>", "Average precision (AP) in %", ">AP50<", "objects in fused", "annotated objects"):
        assert text in report, text
    assert "Mean IoU" not in report
