"""The composition matrix: whatever validation allows trains; whatever it forbids is refused with the reason."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

import fusekit
from fusekit.data.training_data import TrainingData
from fusekit.model.assembly import build_dataset, build_strategy
from fusekit.plugin.registry import registry
from fusekit.recipe.problems import RecipeProblems
from fusekit.training.trainer import Trainer

pytestmark = pytest.mark.slow

TRANSFORMER = {"channels": 4, "heads": 2, "blocks": 1, "expansion": 1}
SMALL: dict[str, dict[str, Any]] = {
    "uaafusion.unfolding": {
        "stages": 2,
        "channels": 4,
        "stage": {"use": "uaafusion.stage", "params": {"channels": 4}},
    },
    "refusion.network": TRANSFORMER,
    "refusion.proposer": TRANSFORMER,
    "tasks.smp": {"architecture": "unet", "encoder": "tu-mobilenetv3_small_050"},
    "tasks.centernet": {"encoder": "mobilenetv3_small_050", "width": 8},
}
WITHOUT_WEIGHTS = {
    "baselines.copy",
    "baselines.mean",
    "baselines.max",
    "baselines.laplacian",
    "baselines.equal",
    "baselines.brightest",
    "uaafusion.attribution",
}
STRATEGIES: dict[str, dict[str, Any]] = {
    "baselines.fixed": {},
    "uaafusion.joint": {},
    "tasks.supervised": {},
    "refusion.meta": {"rounds": 1},
    "refusion.meta, task": {"rounds": 1, "objective": {"use": "refusion.task"}},
}


def names(kind: str) -> list[str]:
    return [spec.name for spec in registry().specs(kind)]


TASKS = [None, *names("task")]
# `baselines.equal` stands for the fixed proposers, and `baselines.mean` for the methods without parameters, which all
# are treated alike.
ALIKE = {
    "baselines.brightest",
    "baselines.sharpest",
    "baselines.well_exposed",
    "baselines.copy",
    "baselines.max",
    "baselines.laplacian",
}
BACKBONES, PROPOSERS = ([name for name in names(kind) if name not in ALIKE] for kind in ("backbone", "loss-proposer"))
MATRIX = list(itertools.product(BACKBONES, PROPOSERS, TASKS, STRATEGIES))


def reasons(backbone: str, proposer: str, task: str | None, strategy: str) -> set[str]:
    """Why a combination cannot be, in the words of the messages; written down apart from the code that decides."""
    found = set()
    if task is None and proposer == "uaafusion.attribution":
        found.add("guidance 'uaafusion.attribution_guidance' needs a task network")
    if task == "tasks.centernet" and proposer == "uaafusion.attribution":
        found.add("guidance 'uaafusion.attribution_guidance' needs a task network for segmentation")
    if task is None and strategy in ("uaafusion.joint", "tasks.supervised"):
        found.add(f"strategy '{strategy}' needs a task network")
    if task is None and strategy == "refusion.meta, task":
        found.add("objective 'refusion.task' needs a task network")
    if strategy != "tasks.supervised" and backbone in WITHOUT_WEIGHTS:
        found.add(f"backbone '{backbone}' has no trainable parameters")
    if strategy.startswith("refusion.meta") and proposer in WITHOUT_WEIGHTS:
        found.add(f"loss-proposer '{proposer}' has no trainable parameters")
    return found


def recipe(backbone: str, proposer: str, task: str | None, strategy: str) -> fusekit.Recipe:
    model: dict[str, Any] = {
        "backbone": {"use": backbone, "params": SMALL.get(backbone, {})},
        "proposer": {"use": proposer, "params": SMALL.get(proposer, {})},
        "reconstruction": {"use": "refusion.reconstruction", "params": TRANSFORMER},
    }
    if task is not None:
        model["task"] = {"use": task, "params": SMALL.get(task, {})}
    if proposer == "uaafusion.attribution":
        model["guidance"] = {"use": "uaafusion.attribution_guidance"}
    return fusekit.Recipe.from_dict(
        {
            "schema": 1,
            "name": "composed",
            "data": {
                "use": "scenes.streets",
                "params": {"train": 2, "val": 1, "test": 1, "height": 32, "width": 32},
            },
            "model": model,
            "train": {
                "strategy": {"use": strategy.partition(",")[0], "params": STRATEGIES[strategy]},
                "max_steps": 2,
                "batch": 2,
                "epochs": 2,
                "sampling": {"size": 32},
            },
        }
    )


@pytest.mark.parametrize(("backbone", "proposer", "task", "strategy"), MATRIX)
def test_composition(backbone: str, proposer: str, task: str | None, strategy: str) -> None:
    expected = reasons(backbone, proposer, task, strategy)
    if expected:
        with pytest.raises(RecipeProblems) as refused:
            recipe(backbone, proposer, task, strategy)
        assert len(refused.value.problems) == len(expected)
        for reason in expected:
            assert reason in str(refused.value)
        return
    chosen = recipe(backbone, proposer, task, strategy)
    system = fusekit.assemble(chosen)
    section = chosen.model.train
    assert section is not None
    data = TrainingData(build_dataset(chosen, "train"), section.sampling, section.batch, seed=0)
    losses: list[dict[str, float]] = []
    trainer = Trainer(
        system,
        build_strategy(chosen, section, system),
        data,
        section,
        progress=lambda _, __, ___, found: losses.append(found),
    )
    assert trainer.fit() == 2
    assert len(losses) == 2
    assert all(record and all(map(math.isfinite, record.values())) for record in losses)


def test_every_strategy_is_in_the_matrix() -> None:
    assert {name.partition(",")[0] for name in STRATEGIES} == set(names("strategy"))
