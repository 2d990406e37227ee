"""The best weights of a phase, beside its checkpoints and in their format."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fusekit.errors import RunError
from fusekit.training.checkpoint import CheckpointFolder, Position


class BestWeights:
    """Weights that were the best when they were kept, by step.

    Args:
        folder: Where they are; None keeps them in memory, and only the latest.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = CheckpointFolder(folder, keep=None) if folder is not None else None
        self._latest: dict[str, Tensor] = {}

    def keep(self, step: int, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keeps the weights of a step.

        Raises:
            RunError: They cannot be written.
        """
        if self._folder is None:
            self._latest = {name: weight.detach().clone() for name, weight in weights.items()}
        else:
            self._folder.save(Position(step, best=step), weights, state)

    def forget_but(self, steps: Collection[int | None]) -> None:
        """Drops the weights of all other steps; those that a kept checkpoint calls the best must stay."""
        if self._folder is not None:
            self._folder.keep_only(steps)

    def check(self, step: int) -> None:
        """Makes sure that the weights of a step are there.

        Raises:
            RunError: They are not.
        """
        if self._folder is not None and step not in [position.step for position in self._folder.positions()]:
            raise RunError(
                f"{self._folder.path(step)} is gone, the best weights so far",
                hint="put it back, or delete the run folder to start anew",
            )

    def weights(self, step: int) -> dict[str, Tensor]:
        """The weights of a step.

        Raises:
            RunError: They are damaged, or gone.
        """
        if self._folder is None:
            return self._latest
        self.check(step)
        found = self._folder.load(step)
        assert found is not None
        return found.weights
