"""The outer gradient, through the inner steps, against central finite differences in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fusekit.interfaces import LossTerms
from tests.refusion.tiny import Scenes, system, trainer


class Recorder:
    """Stands in for the proposer's updater: keeps the loss and its gradient, changes nothing."""

    lr = 1e-4

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters
        self.loss = torch.zeros(())
        self.gradients: tuple[Tensor, ...] = ()
        self.differentiate = True

    def __call__(self, loss: LossTerms) -> None:
        self.loss = loss.total.detach()
        if self.differentiate:
            self.gradients = torch.autograd.grad(loss.total, self.parameters)


def outer_loss(options: dict[str, Any]) -> tuple[Recorder, Any]:
    """A recorder, and a function that plays one round from the same state."""
    parts = system(seed=3).double()
    data = Scenes(torch.float64)
    made, strategy = trainer(parts, data, options={"inner_rate": 2.0, **options}, optimiser={"lr": 1e-2})
    strategy.setup(made)
    assert parts.proposer is not None
    recorder = Recorder(list(parts.proposer.parameters()))
    strategy.update_proposer = recorder  # type: ignore[assignment]
    for updater in made.updaters.values():
        updater.set_lr(1e-2)
    plan = next(step for step in made.plan if step.name == "round")
    batches = [data.batch(name, 0, number) for number, name in enumerate("ab"[: len(plan.draws)])]
    return recorder, lambda: strategy.step(plan, batches)


VARIANTS: list[dict[str, Any]] = [
    {},
    {"inner_steps": 3},
    {"exchange": True},
    {"inner": "image", "inner_rate": 0.3, "inner_steps": 2},
    {"inner": "minimiser"},
]


@pytest.mark.parametrize("objective", ["refusion.sources", "refusion.task"])
@pytest.mark.parametrize("options", VARIANTS)
def test_outer_gradient_is_the_finite_difference(objective: str, options: dict[str, Any]) -> None:
    recorder, play = outer_loss({**options, "objective": {"use": objective}})
    play()
    gradients, weights = recorder.gradients, recorder.parameters
    assert all(bool(gradient.abs().max() > 0) for gradient in gradients)
    recorder.differentiate = False
    generator = torch.Generator().manual_seed(1)
    step = 1e-6  # larger ones cross kinks of the absolute values, smaller ones drown in rounding
    for _ in range(4):
        way = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
        slope = sum(float((g * d).sum()) for g, d in zip(gradients, way, strict=True))
        size = sum(float(g.square().sum()) for g in gradients) ** 0.5

        def at(shift: float, way: list[Tensor] = way) -> float:
            with torch.no_grad():
                for weight, direction in zip(weights, way, strict=True):
                    weight.add_(direction, alpha=shift)
            play()
            with torch.no_grad():
                for weight, direction in zip(weights, way, strict=True):
                    weight.sub_(direction, alpha=shift)
            return float(recorder.loss)

        # Central differences of fourth order: what is left of the step's error is far below the bound.
        numeric = (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
        assert abs(numeric - slope) < 5e-6 * max(abs(slope), size), (numeric, slope)


def test_the_gradient_passes_through_the_step_only() -> None:
    """With an inner rate next to nothing, the proposer does not matter to the outer loss."""
    recorder, play = outer_loss({})
    play()
    usual = max(float(g.abs().max()) for g in recorder.gradients)
    recorder, play = outer_loss({"inner_rate": 3e-10})
    play()
    assert max(float(g.abs().max()) for g in recorder.gradients) < 1e-8 * usual
