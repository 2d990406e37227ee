"""Checkpoints: written aside and renamed, so that a kill at any moment leaves the last one whole."""

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
    """Where a phase stands.

    Attributes:
        step: Steps done.
        finished: Whether the phase is over.
        best: Step of the best weights by validation so far; None without any.
    """

    step: int
    finished: bool = False
    best: int | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read back."""

    position: Position
    weights: dict[str, Tensor]
    state: dict[str, Any]


class CheckpointFolder:
    """The checkpoints of one training phase, ``step-N`` folders.

    Args:
        folder: Where they are.
        keep: How many are kept; all when None.
    """

    def __init__(self, folder: Path, keep: int | None = 2) -> None:
        self.folder = folder
        self.keep = keep

    def save(self, position: Position, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
        """Writes a checkpoint and drops the oldest beyond `keep`.

        Raises:
            RunError: It cannot be written; earlier checkpoints are kept.
        """
        target = self.path(position.step)
        aside = self.folder / f".{target.name}.tmp"
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            contiguous = {n: w.detach().cpu().contiguous().clone() for n, w in weights.items()}
            save_file(contiguous, aside / "weights.safetensors")
            save_tree(aside / "state.safetensors", dict(state))
            (aside / "position.json").write_text(json.dumps(asdict(position)), encoding="utf-8")
            if target.exists():  # the same step again: a rename cannot replace a folder that is not empty
                shutil.rmtree(target)
            aside.rename(target)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise RunError(
                f"cannot write checkpoint {target}: {error}",
                hint="make room and run again with --resume; earlier checkpoints are kept",
            ) from error
        if self.keep is not None:
            for old in self.paths()[: -self.keep]:
                shutil.rmtree(old, ignore_errors=True)
        return target

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step is, or would be."""
        return self.folder / f"{_PREFIX}{step:08d}"

    def keep_only(self, steps: Collection[int | None]) -> None:
        """Drops the checkpoints of all other steps."""
        for path in set(self.paths()) - {self.path(step) for step in steps if step is not None}:
            shutil.rmtree(path, ignore_errors=True)

    def paths(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        return sorted(p for p in self.folder.glob(f"{_PREFIX}*") if (p / "position.json").is_file())

    def positions(self) -> list[Position]:
        """Where the checkpoints stand, oldest first."""
        return [Position(**json.loads((p / "position.json").read_text(encoding="utf-8"))) for p in self.paths()]

    def position(self) -> Position | None:
        """Where the newest checkpoint stands; None where there is none."""
        return next(reversed(self.positions()), None)

    def load(self, step: int | None = None) -> Checkpoint | None:
        """The newest checkpoint, or that of a step; None where there is none.

        Raises:
            RunError: It is damaged.
        """
        position = next((p for p in reversed(self.positions()) if step in (None, p.step)), None)
        if position is None:
            return None
        path = self.path(position.step)
        try:
            return Checkpoint(position, load_file(path / "weights.safetensors"), load_tree(path / "state.safetensors"))
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise RunError(
                f"checkpoint {path} is damaged: {error}", hint=f"delete {path} to go back to the one before"
            ) from error
