"""A task network that segments nothing: what asks for regions refuses it, everything else works with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fusekit.errors import UsageError
from fusekit.interfaces import BuildContext, ClassTable
from fusekit.model.system import FusionSystem
from fusekit_baselines.rules import Mean
from fusekit_uaafusion.attribution import AttributionGuidance, AttributionProposer
from tests.testing.good import Classifier

pytestmark = pytest.mark.slow

Call = Callable[..., Any]

FILE = '''
"""Which classes an image shows, as an image classifier says it."""
import torch
import torch.nn.functional as F
from torch import nn
from fusekit.interfaces import ComponentConfig, TaskNetwork
from fusekit.plugin import component, hookimpl


class Classifies(ComponentConfig):
    def solves(self):
        return frozenset({"classification"})


class Shown(TaskNetwork):
    Config = Classifies
    second_order = True

    def __init__(self, config=None, context=None):
        super().__init__(config, context)
        self.count = len(context.classes)
        self.features = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Tanh())
        self.scores = nn.Linear(8, self.count)

    def forward(self, image):
        return self.scores(self.features(image.mean(dim=1, keepdim=True)).mean(dim=(2, 3)))

    def loss(self, logits, target):
        shown = torch.stack([(target == c).flatten(1).any(dim=1) for c in range(self.count)], dim=1)
        return F.binary_cross_entropy_with_logits(logits, shown.to(logits))

    def predict(self, logits):
        return logits > 0


class Silent(Shown):
    class Config(ComponentConfig):
        """Does not say that it solves anything else than most."""


@hookimpl
def fusekit_components():
    return [
        component("task", "local.shown", target=f"{__name__}:Shown", summary="Which classes there are"),
        component("task", "local.silent", target=f"{__name__}:Silent", summary="The same, undeclared"),
    ]
'''

RECIPE = """
schema: 1
name: shown
seed: 3
data: {use: scenes.streets, params: {train: 4, val: 1, test: 2, height: 48, width: 64}}
model:
  backbone: {use: refusion.network, params: {channels: 4, heads: 2, blocks: 1}}
  proposer: {use: refusion.proposer, params: {channels: 4, heads: 2, blocks: 1}}
  task: {use: local.shown}
pretrain:
  classifier: {strategy: {use: tasks.supervised}, batch: 2, sampling: {size: 32}}
train:
  strategy: {use: refusion.meta, params: {objective: {use: refusion.task}, rounds: 2}}
  batch: 2
  sampling: {size: 32}
evaluate: {pictures: 1, metrics: [strict.en]}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to type in, with the recipe and the classifier."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shown.yaml").write_text(RECIPE)
    (tmp_path / "shown.py").write_text(FILE)
    return tmp_path


def test_tdfusion_learns_its_loss_by_a_classifier(fusekit: Call, here: Path) -> None:
    done = fusekit("run", "shown.yaml", "--with", "shown.py", "--device", "cpu")
    assert done.code == 0, done.err
    run = here / "runs" / "shown"
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("outer" in record["losses"] for record in logged)
    assert all("task" in record["losses"] for record in logged if "fusion" in record["losses"])
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert evaluation["task"] is None
    assert evaluation["methods"][0]["mean"]["strict.en"] > 0
    report = (run / "report.html").read_text()
    assert "local.shown" in report
    assert "segmentation of fused" not in report
    scene = sorted((run / "fused").glob("*.png"))[0]
    again = fusekit("explain", "runs/shown", scene, scene, "-o", "why", "--with", "shown.py")
    assert again.code == 2
    assert "no segmentation network, so there is no attribution to show" in " ".join(again.err.split())
    assert fusekit("fuse", scene, scene, "-o", "x.png", "-m", "runs/shown", "--with", "shown.py").code == 0


def test_an_attribution_is_refused_by_validate(fusekit: Call, here: Path) -> None:
    asked = ("validate", "shown.yaml", "--with", "shown.py", "-o", "model.proposer={use: uaafusion.attribution}")
    done = fusekit(*asked)
    assert done.code == 2
    assert (
        "loss-proposer 'uaafusion.attribution' needs guidance; the recipe has none: add model.guidance "
        "{use: uaafusion.attribution_guidance}" in " ".join(done.err.split())
    )
    done = fusekit(*asked, "-o", "model.guidance={use: uaafusion.attribution_guidance}")
    assert done.code == 2
    assert (
        "guidance 'uaafusion.attribution_guidance' needs a task network for segmentation; "
        "task 'local.shown' solves classification: choose another" in " ".join(done.err.split())
    )
    assert fusekit("validate", "shown.yaml", "--with", "shown.py").code == 0


def test_an_unfolding_backbone_does_without_its_attention(fusekit: Call, here: Path) -> None:
    stage = "{use: uaafusion.stage, params: {channels: 4}}"
    unfolding = f"{{use: uaafusion.unfolding, params: {{stages: 2, channels: 4, stage: {stage}}}}}"
    changes = ("-o", f"model.backbone={unfolding}", "-o", "pretrain={}", "-o", "train.max_steps=1")
    done = fusekit("run", "shown.yaml", "--with", "shown.py", "--device", "cpu", "--stage", "train", *changes)
    assert done.code == 0, done.err


def test_one_that_does_not_say_so_is_refused_before_training(fusekit: Call, here: Path) -> None:
    done = fusekit("run", "shown.yaml", "--with", "shown.py", "--device", "cpu", "-o", "model.task={use: local.silent}")
    assert done.code == 3
    said = " ".join(done.err.split())
    assert "solves() of its Config names segmentation, but its class is not a SegmentationNetwork" in said
    assert not (here / "runs" / "shown" / "checkpoints").exists()


def test_a_system_by_hand_is_told_the_truth() -> None:
    """The remedy must not be a task network: there is one."""
    classes = ClassTable(("a", "b"), ((0, 0, 0), (1, 1, 1)))
    context = BuildContext(classes=classes)
    parts: dict[str, Any] = {"proposer": AttributionProposer(), "task": Classifier(None, context), "classes": classes}
    images = (torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16))
    unguided = FusionSystem(Mean(), **parts)
    assert unguided.proposer is not None
    with pytest.raises(
        UsageError, match="needs a guidance with region attributions, and this model has no guidance"
    ) as caught:
        unguided.proposer(images, guidance=unguided.guidance(images))
    assert "uaafusion.attribution_guidance" in (caught.value.hint or "")
    guided = FusionSystem(Mean(), guidance=AttributionGuidance(), **parts)
    with pytest.raises(
        UsageError, match="needs a segmentation network as the task network, found a Classifier"
    ) as caught:
        guided.guidance(images)
    assert "choose a segmentation network" in (caught.value.hint or "")
