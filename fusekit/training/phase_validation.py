"""Validation of one phase: when it takes place, which weights are the best, and which ones the phase ends with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fusekit.model.system import FusionSystem
from fusekit.recipe.schema import ValidationSection
from fusekit.training import distributed
from fusekit.training.best import BestWeights
from fusekit.training.validation import Validator, measure_all
from fusekit.training.validation_state import ValidationState


@dataclass(frozen=True)
class Validated:
    """Outcome of one validation.

    Attributes:
        value: Mean over the scenes; None if it is not finite.
        best: Whether it is the best so far.
        scenes: Number of scenes.
        undefined: Number of scenes without a value.
    """

    value: float | None
    best: bool
    scenes: int
    undefined: int


class PhaseValidation:
    """Validates a phase between its steps, without affecting them, and keeps its best weights.

    Attributes:
        validator: Measures the weights.
        settings: The ``validate`` section.
        state: Result of the validations so far; part of every checkpoint.

    Args:
        validator: Measures the weights.
        settings: The ``validate`` section.
        system: The parts.
        folder: Folder for the best weights; None keeps them in memory.
        seed: Root seed.
        phase: Name of the phase.
        device: Device on which training runs.
    """

    def __init__(
        self,
        validator: Validator,
        settings: ValidationSection,
        system: FusionSystem,
        folder: Path | None,
        *,
        seed: int,
        phase: str,
        device: torch.device,
    ) -> None:
        self.validator = validator
        self.settings = settings
        self.state = ValidationState()
        self._system = system
        self._best = BestWeights(folder)
        self._seed, self._phase, self._device = seed, phase, device

    def due(self, step: int, *, steps_per_epoch: int, total_steps: int) -> bool:
        """Whether to validate after a step: at the interval and after the last step of the phase."""
        return step % (self.settings.every or steps_per_epoch) == 0 or step == total_steps

    def measure(
        self,
        step: int,
        guidance: Callable[[], AbstractContextManager[None]],
        training_state: Callable[[], Mapping[str, Any]],
    ) -> Validated:
        """Measures the weights after a step, and stores them if they are the best so far.

        Args:
            step: Number of finished steps.
            guidance: Makes a context in which the guidance of a scene is computed once.
            training_state: Returns the state to store beside the weights.
        """

        def measure(number: int) -> float:
            with guidance():
                return self.validator.measure(number)

        values = measure_all(
            len(self.validator), measure, self._system, seed=self._seed, phase=self._phase, device=self._device
        )
        value = self.validator.mean(values)
        self.state = self.state.after(step, value, self.validator.higher_is_better, self.settings)
        best = self.state.step == step
        if best and distributed.is_first():
            self._best.keep(step, self._system.state_dict(), training_state())
        undefined = sum(math.isnan(number) for number in values)
        return Validated(value if math.isfinite(value) else None, best, len(values), undefined)

    def load_best(self) -> bool:
        """Loads the best weights into the parts, in all processes.

        Returns:
            False if the recipe chooses the last weights, or no value was finite; the parts are then unchanged.
        """
        if self.state.step is None or self.settings.weights == "last":
            return False
        if distributed.is_first():
            self._system.load_state_dict(self._best.weights(self.state.step))
        distributed.copy_from_first([*self._system.parameters(), *self._system.buffers()])
        return True

    def keep_only(self, steps: list[int | None]) -> None:
        """Deletes the stored weights of all other steps."""
        self._best.keep_only(steps)

    def state_dict(self) -> dict[str, Any]:
        """The state as plain data."""
        return asdict(self.state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` returned.

        Raises:
            RunError: The best weights are missing.
            TypeError: It is not such a state.
        """
        self.state = ValidationState(**state)
        if self.state.step is not None:
            self._best.check(self.state.step)
