"""State of validation: the best value so far, and the number of validations without improvement."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from fusekit.recipe.schema import ValidationSection


@dataclass(frozen=True)
class ValidationState:
    """Summary of the validations so far; plain data, stored in every checkpoint.

    Attributes:
        step: Step of the best value; None as long as no value was finite.
        value: The best value.
        mark: The value with which the next improvement is compared.
        waited: Number of validations since the last improvement.
        stopped: Whether patience has run out, which ends the phase.
    """

    step: int | None = None
    value: float | None = None
    mark: float | None = None
    waited: int = 0
    stopped: bool = False

    def after(self, step: int, value: float, higher_is_better: bool, settings: ValidationSection) -> ValidationState:
        """The state after one more validation.

        A value that is not finite is never the best and never an improvement. Of equal values, the first remains the
        best.
        """
        state = self
        if _improves(value, self.value, higher_is_better):
            state = replace(state, step=step, value=value)
        if _improves(value, self.mark, higher_is_better, settings.min_delta):
            state = replace(state, mark=value, waited=0)
        else:
            state = replace(state, waited=self.waited + 1)
        return replace(state, stopped=settings.patience is not None and state.waited >= settings.patience)


def _improves(value: float, other: float | None, higher_is_better: bool, by: float = 0.0) -> bool:
    if not math.isfinite(value):
        return False
    return other is None or (value - other if higher_is_better else other - value) > by
