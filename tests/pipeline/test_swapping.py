"""Parts swapped by the recipe alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import fusekit
from fusekit.cli.app import main
from fusekit.model.system import FusionSystem
from fusekit.pipeline.run import Run
from fusekit.plugin.registry import registry
from fusekit_baselines.proposals import BrightestProposer, EqualProposer
from fusekit_tasks.segmentation import SmpSegmenter
from fusekit_uaafusion.attribution import AttributionGuidance, UnfoldingPath
from tests.pipeline.small import small_recipe

pytestmark = pytest.mark.slow

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


Part = Callable[[FusionSystem], object]


def segmenter(system: FusionSystem) -> tuple[str, str, int]:
    """Which network of the library stands behind the task, on which encoder, with how many channels."""
    assert isinstance(system.task, SmpSegmenter)
    network = system.task.net
    return type(network).__name__, type(network.encoder).__name__, system.task.channels


def attribution(system: FusionSystem) -> AttributionGuidance:
    """The guidance of the system."""
    assert isinstance(system.guidance_maker, AttributionGuidance)
    return system.guidance_maker


SWAPS: dict[str, tuple[str, str, Part, object]] = {
    "unet-resnet18-rgb": (
        "model.task.params",
        "{architecture: unet, encoder: resnet18, channels: 3}",
        segmenter,
        ("Unet", "ResNetEncoder", 3),
    ),
    "fpn-timm": (
        "model.task.params",
        "{architecture: fpn, encoder: tu-mobilenetv3_small_050}",
        segmenter,
        ("FPN", "TimmUniversalEncoder", 1),
    ),
    "equal": ("model.proposer", "{use: baselines.equal}", lambda system: type(system.proposer), EqualProposer),
    "brightest": (
        "model.proposer",
        "{use: baselines.brightest}",
        lambda system: type(system.proposer),
        BrightestProposer,
    ),
    "unfolding-path": (
        "model.guidance.params.pathway",
        "{use: uaafusion.unfolding_path, params: {steps: 2}}",
        lambda system: type(attribution(system).pathway),
        UnfoldingPath,
    ),
    "batch-scope": ("model.guidance.params.scope", "batch", lambda system: attribution(system).config.scope, "batch"),
}


@pytest.fixture(scope="module")
def unswapped(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fusekit.run(small_recipe(evaluate__pictures=0), runs=tmp_path_factory.mktemp("unswapped"), device="cpu")


@pytest.mark.parametrize("name", SWAPS)
def test_another_part_runs(tmp_path: Path, unswapped: Run, name: str) -> None:
    """The part is in the model that was trained, and the training went another way for it."""
    path, value, part, wanted = SWAPS[name]
    done = fusekit.run(small_recipe(evaluate__pictures=0, **{path: value}), runs=tmp_path, device="cpu")
    before, after = (fusekit.load(run.folder.path, device="cpu").system for run in (unswapped, done))
    assert (part(before) == wanted, part(after)) == (False, wanted)
    assert any(
        not torch.equal(weight, after.backbone.state_dict()[key])
        for key, weight in before.backbone.state_dict().items()
    )
    tables = [json.loads(run.folder.evaluation.read_text())["methods"] for run in (unswapped, done)]
    assert tables[0][0]["mean"] != tables[1][0]["mean"], "the model's row"
    assert tables[0][1:] == tables[1][1:], "the baselines have nothing to do with it"


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
        learned = [name for name in load_file(tmp_path / "runs" / "mine" / "model.safetensors") if ".stages." in name]
        assert sorted(learned) == [f"backbone.stages.{k}.conv.{what}" for k in (0, 1) for what in ("bias", "weight")]
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
