"""The best weights of a phase, stored beside its checkpoints and in their format."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fusekit.errors import RunError
from fusekit.training.checkpoint import CheckpointFolder, Position


class BestWeights:
    """Weights that were the best at the time they were stored, by step.

    Args:
        folder: Folder for the weights; None keeps only the latest ones, in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = CheckpointFolder(folder, keep=None) if folder is not None else None
        self._latest: dict[str, Tensor] = {}

    def keep(self, step: int, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Stores the weights of a step.

        Raises:
            RunError: The weights cannot be written.
        """
        if self._folder is None:
            self._latest = {name: weight.detach().clone() for name, weight in weights.items()}
        else:
            self._folder.save(Position(step, best=step), weights, state)

    def keep_only(self, steps: Collection[int | None]) -> None:
        """Deletes the weights of all other steps; those that a kept checkpoint refers to as the best must be kept."""
        if self._folder is not None:
            self._folder.keep_only(steps)

    def check(self, step: int) -> None:
        """Checks that the weights of a step exist.

        Raises:
            RunError: The weights are missing.
        """
        if self._folder is not None and step not in [position.step for position in self._folder.positions()]:
            raise RunError(
                f"the best weights so far are missing: {self._folder.path(step)}",
                hint="restore that folder, or delete the run folder to start again",
            )

    def weights(self, step: int) -> dict[str, Tensor]:
        """The weights of a step.

        Raises:
            RunError: The weights are damaged or missing.
        """
        if self._folder is None:
            return self._latest
        self.check(step)
        checkpoint = self._folder.load(step)
        assert checkpoint is not None
        return checkpoint.weights
