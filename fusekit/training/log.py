"""The training log: one JSON object per line, kept consistent with the checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fusekit.errors import RunError
from fusekit.files import write_text


class TrainingLog:
    """Appends a line per step to ``metrics.jsonl``.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def rewind(self, phase: str, step: int) -> None:
        """Removes the records of a phase after a step, because a resumed training repeats those steps."""
        kept = [r for r in self.read() if r.get("phase") != phase or r.get("step", 0) <= step]
        if self.path.exists():
            write_text(self.path, "".join(json.dumps(record) + "\n" for record in kept))

    def append(self, record: Mapping[str, Any]) -> None:
        """Appends a line.

        Raises:
            RunError: The file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror or error}") from error

    def read(self) -> list[dict[str, Any]]:
        """The records of all complete lines; a last line that is incomplete because the run was killed is skipped."""
        if not self.path.exists():
            return []
        records = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return records
