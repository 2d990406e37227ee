"""Training gives the losses that were recorded, step by step; a changed term or order of updates does not.

`tests.golden.curves` says how they are recorded, and when that is right.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fusekit_losses.intensity import ProposedIntensity
from tests.golden.curves import CASES, STEPS, Curve, curve, recorded

# In double precision another order of sums changes the last of these losses by some 1e-13 of their size; the shares
# of termsearch are single precision, 1e-7. What is worth finding changes them by far more.
TOLERANCE = 1e-6


def weighted(form: str = "strength", *, intensity: float = 1.0, gradient: float = 1.0) -> list[dict[str, Any]]:
    """The papers' two terms with other weights."""
    return [
        {"use": "losses.intensity", "params": {"weight": intensity}},
        {"use": "losses.gradient", "params": {"weight": gradient, "form": form}},
    ]


def distance(found: Curve, wanted: Curve) -> float:
    """Largest relative difference of two curves of the same losses."""
    assert [list(step) for step in found] == [list(step) for step in wanted]
    pairs = [(step[name], other[name]) for step, other in zip(found, wanted, strict=True) for name in step]
    return max(abs(one - other) / abs(other) for one, other in pairs)


@pytest.mark.parametrize("case", CASES)
def test_losses_are_the_recorded_ones(case: str) -> None:
    wanted = recorded()[case]
    assert len(wanted) == STEPS
    assert distance(curve(case), wanted) < TOLERANCE


@pytest.mark.parametrize(
    ("case", "settings", "options"),
    [
        ("uaafusion.joint", {}, {"task_weight": 0.101}),
        ("uaafusion.joint", {}, {"task_rate": 0.99}),
        ("uaafusion.joint", {}, {"loss": weighted(gradient=1.01)}),
        ("refusion.meta, sources", {}, {"inner_steps": 1}),
        ("refusion.meta, sources", {}, {"outer_rate": 1.01}),
        ("refusion.meta, task", {}, {"restore_evaluator": False}),
        ("refusion.meta, task", {}, {"loss": weighted("signed", intensity=1.01)}),
        ("tasks.supervised", {"optimiser": {"lr": 1.01e-2}}, {}),
        ("tasks.supervised", {}, {"inputs": ["sources"]}),
        ("termsearch.evolution", {}, {"trial_steps": 2}),
    ],
)
def test_a_changed_weight_or_rule_is_found(case: str, settings: dict[str, Any], options: dict[str, Any]) -> None:
    assert distance(curve(case, settings, **options), recorded()[case]) > 10 * TOLERANCE


def test_a_dropped_term_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if somebody had lost a source in the intensity term."""
    whole = ProposedIntensity.__call__

    def without_a_source(self: ProposedIntensity, image: torch.Tensor, sources: Any, proposal: Any) -> torch.Tensor:
        lost = (proposal.weights[:, 1:] * (sources[1] - image)).square().mean()
        return whole(self, image, sources, proposal) - lost

    monkeypatch.setattr(ProposedIntensity, "__call__", without_a_source)
    assert distance(curve("uaafusion.joint"), recorded()["uaafusion.joint"]) > 10 * TOLERANCE
