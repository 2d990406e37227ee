"""The moving average of weights: known values, exact resuming, and what it gives a phase."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fusekit.model.assembly import Builder
from fusekit.training.averaging import AveragedWeights
from fusekit.training.trainer import Trainer
from tests.networks import ROLES
from tests.training.test_trainer import Scenes, assert_equal, joint_system, section, train


def test_average_of_known_weights() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    average = AveragedWeights(layer, 0.5)
    wanted = 0.0
    for step in range(1, 30):
        nn.init.constant_(layer.weight, float(step))
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * step
    assert average.average["weight"].item() == pytest.approx(wanted)
    with average.applied():
        assert layer.weight.item() == pytest.approx(wanted)
    assert layer.weight.item() == 29.0


def test_statistics_are_averaged_and_counts_copied() -> None:
    norm = nn.BatchNorm1d(2)
    average = AveragedWeights(norm, 0.9)
    norm(torch.rand(4, 2))
    average.update()
    assert average.average["num_batches_tracked"].item() == 1
    assert not torch.equal(average.average["running_mean"], norm.running_mean)  # type: ignore[arg-type]


def test_another_models_average_is_refused() -> None:
    other = AveragedWeights(nn.BatchNorm1d(1), 0.9).state_dict()
    with pytest.raises(ValueError, match="another model"):
        AveragedWeights(nn.Linear(1, 1), 0.9).load_state_dict(other)


def test_a_phase_ends_with_the_averaged_weights_and_its_steps_are_as_without(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"max_steps": 4, "checkpoint_every": 2}
    plain, averaged = joint_system(), joint_system()
    losses: dict[str, list[dict[str, float]]] = {"plain": [], "averaged": []}
    for name, system, ema in (("plain", plain, None), ("averaged", averaged, 0.5)):
        strategy = made_strategy()
        Trainer(
            system,
            strategy,
            Scenes(),
            section(**changes, ema=ema),
            seed=7,
            progress=lambda phase, done, total, named, name=name: losses[name].append(dict(named)),
        ).fit()
    assert losses["plain"] == losses["averaged"]
    pairs = zip(plain.state_dict().values(), averaged.state_dict().values(), strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)
    nothing = joint_system()
    train(nothing, None, **changes, ema=0.0)  # no memory: the average is the last weights
    assert_equal(plain, nothing)


def test_resume_with_an_average_is_bit_exact(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"max_steps": 4, "checkpoint_every": 1, "ema": 0.9}
    straight, first, second = joint_system(), joint_system(), joint_system(seed=99)
    train(straight, tmp_path / "a", **changes)
    train(first, tmp_path / "b", stop_after=2, **changes)
    train(second, tmp_path / "b", resume=True, **changes)
    assert_equal(straight, second)
    again = joint_system(seed=5)  # a resume of the finished phase has the averaged weights too
    train(again, tmp_path / "b", resume=True, **changes)
    assert_equal(straight, again)


def made_strategy() -> Any:
    from fusekit_uaafusion.config import JointConfig
    from fusekit_uaafusion.joint import JointTraining

    return JointTraining(JointConfig(), Builder(ROLES, None).context)
