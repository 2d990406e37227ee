"""The learning rate schedule."""

from __future__ import annotations

import math

from fusekit.recipe.schema import ScheduleSection


def scheduled_learning_rate(
    base: float, section: ScheduleSection, *, step: int, total_steps: int, steps_per_epoch: int
) -> float:
    """Learning rate of a step; a pure function of its arguments.

    Args:
        base: Initial learning rate.
        section: The schedule.
        step: Number of finished steps.
        total_steps: Steps of the whole phase.
        steps_per_epoch: Steps of one epoch.
    """
    if step < section.warmup:
        return base * (step + 1) / section.warmup
    if section.name == "step":
        return float(base * section.gamma ** (step // steps_per_epoch // section.every))
    if section.name == "cosine":
        done = (step - section.warmup) / max(1, total_steps - section.warmup)
        return base * (section.final + (1 - section.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
    return base
