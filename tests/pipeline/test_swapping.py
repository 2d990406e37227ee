"""Parts swapped by the recipe alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fusekit
from fusekit.cli.app import main
from fusekit.plugin.registry import registry
from tests.pipeline.small import small_recipe

LOCAL_STAGE = '''
"""A stage for research: one convolution on the image and the weighted sources."""
import torch
from torch import nn
from dataclasses import replace
from fusekit.interfaces import ComponentConfig, Field, UnfoldingStage
from fusekit.plugin import component, hookimpl


class MyStage(UnfoldingStage):
    class Config(ComponentConfig):
        strength: float = Field(0.5, ge=0, le=1, description="share of the weighted sources")

    def __init__(self, config=None, context=None):
        super().__init__(config, context)
        self.strength = config.strength
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, state, sources, guidance=None):
        target = sum(w * s for w, s in zip(state.weights.split(1, dim=1), sources))
        mixed = (1 - self.strength) * state.fused + self.strength * target
        fused = torch.sigmoid(self.conv(mixed))
        return replace(state, fused=fused, previous=state.fused, index=state.index + 1)


@hookimpl
def fusekit_components():
    return [component("stage", "local.mine", target=f"{__name__}:MyStage", summary="One convolution")]
'''


def run_and_read(recipe: fusekit.Recipe, runs: Path) -> dict[str, Any]:
    done = fusekit.run(recipe, runs=runs, device="cpu")
    evaluation: dict[str, Any] = json.loads(done.folder.evaluation.read_text())
    return evaluation


@pytest.mark.parametrize(
    "changes",
    [
        {
            "model__task__params": "{architecture: unet, encoder: resnet18, channels: 3}",
        },
        {"model__task__params": "{architecture: fpn, encoder: tu-mobilenetv3_small_050}"},
        {"model__proposer": "{use: baselines.equal}"},
        {"model__proposer": "{use: baselines.brightest}"},
        {"model__guidance__params__pathway": "{use: uaafusion.unfolding_path, params: {steps: 2}}"},
        {"model__guidance__params__scope": "batch"},
    ],
    ids=["unet-resnet18-rgb", "fpn-timm", "equal", "brightest", "unfolding-path", "batch-scope"],
)
def test_another_part_runs(tmp_path: Path, changes: dict[str, str]) -> None:
    evaluation = run_and_read(small_recipe(evaluate__pictures=0, **changes), tmp_path)
    assert evaluation["methods"][0]["mean"]["strict.en"] is not None


def test_a_stage_from_a_local_file_runs_from_the_command_line(tmp_path: Path) -> None:
    stage = tmp_path / "my_stage.py"
    stage.write_text(LOCAL_STAGE)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(small_recipe("mine", evaluate__pictures=0).dumps_resolved())
    arguments = [
        *("run", str(recipe), "--runs", str(tmp_path / "runs"), "--device", "cpu", "--quiet"),
        *("-o", "model.backbone.params.stage={use: local.mine, params: {strength: 0.25}}"),
    ]
    try:
        with pytest.raises(SystemExit) as without:
            main(arguments)
        assert without.value.code == 2
        with pytest.raises(SystemExit) as with_file:
            main([*arguments, "--with", str(stage)])
        assert with_file.value.code == 0
        assert (tmp_path / "runs" / "mine" / "report.html").exists()
    finally:
        registry.cache_clear()


def test_parameter_free_backbone_needs_no_training(tmp_path: Path) -> None:
    recipe = fusekit.Recipe.from_dict(
        {
            "schema": 1,
            "name": "mean",
            "data": {
                "use": "scenes.streets",
                "params": {"train": 1, "val": 1, "test": 1, "height": 48, "width": 64},
            },
            "model": {"backbone": {"use": "baselines.mean"}},
        }
    )
    evaluation = run_and_read(recipe, tmp_path)
    # The model's row must be that of the baseline it is, or the two are scored differently.
    model, baseline = (m for m in evaluation["methods"] if m["name"] in ("mean (model)", "mean"))
    assert model["is_model"]
    assert model["per_image"] == baseline["per_image"]
