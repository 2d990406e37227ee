"""Every shipped recipe runs to its report, with its own networks, on a few tiny rendered scenes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fusekit
from fusekit.recipe.library import list_recipes

SMALL = [
    "when_missing.data.params={train: 2, val: 1, test: 1, height: 64, width: 64}",
    "when_missing.pretrain.segmenter={max_steps: 2, batch: 2, sampling: {size: 64}}",
    "when_missing.train={max_steps: 2, batch: 2, sampling: {size: 64, stride: 64, min_contrast: 0}}",
    "evaluate.pictures=1",
]


@pytest.mark.parametrize("recipe", list_recipes(), ids=lambda shipped: shipped.name)
def test_runs(recipe: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no data here
    monkeypatch.delenv("MSRS_ROOT", raising=False)
    loaded = fusekit.Recipe.load(recipe.path, SMALL)  # type: ignore[attr-defined]
    assert loaded.synthetic_fallback is not None
    done = fusekit.run(loaded, device="cpu")
    evaluation = json.loads(done.folder.evaluation.read_text())
    assert evaluation["methods"][0]["is_model"]
    assert "Synthetic data" in done.folder.report.read_text()
