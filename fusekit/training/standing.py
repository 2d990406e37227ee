"""Where validation stands: the best so far, and how long nothing has got better."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from fusekit.recipe.schema import ValidationSection


@dataclass(frozen=True)
class Standing:
    """What the validations up to now come to; plain data, part of every checkpoint.

    Attributes:
        step: Step of the best value; None while there was no finite one.
        value: The best value.
        mark: The value that the next improvement is measured from.
        waited: Validations since the last improvement.
        stopped: Whether patience is at an end, and with it the phase.
    """

    step: int | None = None
    value: float | None = None
    mark: float | None = None
    waited: int = 0
    stopped: bool = False

    def after(self, step: int, value: float, higher_is_better: bool, settings: ValidationSection) -> Standing:
        """The standing after one more validation.

        A value that is not finite is never the best and never an improvement. Of equal values the first stays the
        best.
        """
        found = self
        if _beats(value, self.value, higher_is_better):
            found = replace(found, step=step, value=value)
        if _beats(value, self.mark, higher_is_better, settings.min_delta):
            found = replace(found, mark=value, waited=0)
        else:
            found = replace(found, waited=self.waited + 1)
        return replace(found, stopped=settings.patience is not None and found.waited >= settings.patience)


def _beats(value: float, other: float | None, higher_is_better: bool, by: float = 0.0) -> bool:
    if not math.isfinite(value):
        return False
    return other is None or (value - other if higher_is_better else other - value) > by
