"""Checkpoints, written to a temporary folder and renamed, so that the last one is complete whenever a run is killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fusekit.errors import RunError
from fusekit.training.tree_file import load_tree, save_tree

_PREFIX = "step-"


@dataclass(frozen=True)
class Position:
    """Progress of a phase.

    Attributes:
        step: Number of finished steps.
        finished: Whether the phase is finished.
        best: Step of the best weights by validation so far; None if there are none.
    """

    step: int
    finished: bool = False
    best: int | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint."""

    position: Position
    weights: dict[str, Tensor]
    state: dict[str, Any]


class CheckpointFolder:
    """The checkpoints of one training phase, ``step-N`` folders.

    Args:
        folder: Folder of the checkpoints.
        keep: Number of checkpoints that are kept; all if None.
    """

    def __init__(self, folder: Path, keep: int | None = 2) -> None:
        self.folder = folder
        self.keep = keep

    def save(self, position: Position, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
        """Writes a checkpoint and deletes the oldest ones beyond `keep`.

        Raises:
            RunError: The checkpoint cannot be written; earlier ones are kept.
        """
        target = self.path(position.step)
        temporary = self.folder / f".{target.name}.tmp"
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            contiguous = {n: w.detach().cpu().contiguous().clone() for n, w in weights.items()}
            save_file(contiguous, temporary / "weights.safetensors")
            save_tree(temporary / "state.safetensors", dict(state))
            (temporary / "position.json").write_text(json.dumps(asdict(position)), encoding="utf-8")
            if target.exists():  # the same step was saved before, and a rename cannot replace a non-empty folder
                shutil.rmtree(target)
            temporary.rename(target)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise RunError(
                f"cannot write checkpoint {target}: {error}",
                hint="free disk space and run again with --resume; earlier checkpoints are kept",
            ) from error
        if self.keep is not None:
            for old in self.paths()[: -self.keep]:
                shutil.rmtree(old, ignore_errors=True)
        return target

    def path(self, step: int) -> Path:
        """Path of the checkpoint of a step, whether it exists or not."""
        return self.folder / f"{_PREFIX}{step:08d}"

    def keep_only(self, steps: Collection[int | None]) -> None:
        """Deletes the checkpoints of all other steps."""
        for path in set(self.paths()) - {self.path(step) for step in steps if step is not None}:
            shutil.rmtree(path, ignore_errors=True)

    def paths(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        return sorted(p for p in self.folder.glob(f"{_PREFIX}*") if (p / "position.json").is_file())

    def positions(self) -> list[Position]:
        """Positions of the checkpoints, oldest first."""
        return [Position(**json.loads((p / "position.json").read_text(encoding="utf-8"))) for p in self.paths()]

    def position(self) -> Position | None:
        """Position of the newest checkpoint; None if there is none."""
        return next(reversed(self.positions()), None)

    def load(self, step: int | None = None) -> Checkpoint | None:
        """The newest checkpoint, or that of a step; None if it does not exist.

        Raises:
            RunError: The checkpoint is damaged.
        """
        position = next((p for p in reversed(self.positions()) if step in (None, p.step)), None)
        if position is None:
            return None
        path = self.path(position.step)
        try:
            return Checkpoint(position, load_file(path / "weights.safetensors"), load_tree(path / "state.safetensors"))
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise RunError(
                f"checkpoint {path} is damaged: {error}", hint=f"delete {path} to resume from the previous checkpoint"
            ) from error
