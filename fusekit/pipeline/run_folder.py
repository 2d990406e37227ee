"""The run folder: its files, and the record of finished stages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from fusekit._version import __version__
from fusekit.errors import RunError, UsageError
from fusekit.files import file_name, write_text
from fusekit.recipe.recipe import Recipe

Stage = Literal["train", "fuse", "evaluate"]
STAGES: tuple[Stage, ...] = ("train", "fuse", "evaluate")

_SECTIONS: dict[Stage, tuple[str, ...]] = {
    "train": ("schema", "seed", "data", "model", "pretrain", "train"),
    "fuse": ("fuse",),
    "evaluate": ("evaluate",),
}


class RunFolder:
    """``runs/NAME/`` and its files.

    Args:
        path: The folder; it does not have to exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe_given = path / "recipe.yaml"
        self.recipe_resolved = path / "recipe.resolved.yaml"
        self.model = path / "model.safetensors"
        self.fused = path / "fused"
        self.measured = path / "measured"
        self.log = path / "metrics.jsonl"
        self.evaluation = path / "evaluation.json"
        self.table = path / "evaluation.csv"
        self.report = path / "report.html"
        self._record = path / "run.json"

    def record(self) -> dict[str, Any]:
        """The content of ``run.json``; empty before the run starts.

        Raises:
            RunError: ``run.json`` is damaged.
        """
        if not self._record.exists():
            return {}
        try:
            record: dict[str, Any] = json.loads(self._record.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(
                f"{self._record} is damaged: {error}", hint="delete the run folder to start again"
            ) from error
        return record

    def update(self, changes: Mapping[str, Any]) -> None:
        """Merges changes into ``run.json``."""
        content = {**self.record(), **changes, "fusekit": __version__}
        write_text(self._record, json.dumps(content, indent=2) + "\n")

    def check(self, recipe: Recipe) -> None:
        """Checks that the folder can be used for a recipe.

        Raises:
            UsageError: The folder contains a run that was trained with another recipe.
        """
        recorded = self.record().get("fingerprints", {})
        if recorded and recorded.get("train") != fingerprints(recipe)["train"]:
            raise UsageError(
                f"{self.path} contains a run of another recipe (data, model, training or seed differ)",
                hint=f"give this run another name (-o name={recipe.model.name}-2) or another --runs folder, "
                "or delete that run folder",
            )

    def begin(self, recipe: Recipe) -> None:
        """Claims the folder for a recipe.

        Raises:
            UsageError: The folder contains a run that was trained with another recipe.
        """
        self.check(recipe)
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.recipe_given, recipe.text)
        write_text(self.recipe_resolved, recipe.dumps_resolved())
        self.update({"fingerprints": fingerprints(recipe), "fallback": recipe.synthetic_fallback})

    def is_done(self, stage: Stage, recipe: Recipe) -> bool:
        """Whether a stage was finished with this recipe."""
        return bool(self.record().get("done", {}).get(stage) == fingerprints(recipe)[stage])

    def finish(self, stage: Stage, recipe: Recipe) -> None:
        """Records that a stage is finished; later stages must be run again."""
        done = self.record().get("done", {})
        kept = {s: done[s] for s in STAGES[: STAGES.index(stage)] if s in done}
        self.update({"done": {**kept, stage: fingerprints(recipe)[stage]}})

    def scene_file(self, folder: Path, scene: str) -> Path:
        """Image file of a scene: always inside the folder, and unique for each scene."""
        return folder / f"{file_name(scene)}.png"


def fingerprints(recipe: Recipe) -> dict[str, str]:
    """One hash per stage of everything on which its result depends; later stages depend on earlier ones."""
    chained = ""
    digests: dict[str, str] = {}
    for stage in STAGES:
        part = {key: recipe.plain.get(key) for key in _SECTIONS[stage]}
        if stage == "train":  # the location of the data may change, but not the data
            part["data"] = {key: value for key, value in recipe.plain["data"].items() if key != "root"}
        text = chained + json.dumps(part, sort_keys=True, default=str)
        chained = hashlib.sha256(text.encode()).hexdigest()
        digests[stage] = chained
    return digests
