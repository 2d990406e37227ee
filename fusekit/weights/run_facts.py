"""Facts about a finished run, read from its folder: recipe, data, training and evaluations. Imports no torch."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fusekit.errors import DataError, UsageError
from fusekit.recipe.library import header_comment
from fusekit.recipe.model_card import MODEL_FILE, ModelCard, first_problem, read_card
from fusekit.recipe.schema import ModelSection
from fusekit.recipe.yaml_reader import dump_yaml, parse_recipe
from fusekit.training.log import TrainingLog
from fusekit.weights.release import Table, TrainingFacts, without_release

_VERSION = re.compile(r"^([a-z]\w*): (\S+ \S+)$", re.MULTILINE)


@dataclass(frozen=True)
class FinishedRun:
    """The folder of a finished run.

    Attributes:
        folder: The folder.
        card: Metadata of its model file.
        recipe: The resolved recipe as plain data.
        record: Content of ``run.json``.
        versions: Namespace of each plugin that was used → its distribution and version.
    """

    folder: Path
    card: ModelCard
    recipe: dict[str, Any]
    record: dict[str, Any]
    versions: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> FinishedRun:
        """Reads the files of a run.

        Raises:
            UsageError: The folder is not that of a run with a finished training.
            DataError: A file is damaged.
        """
        resolved = folder / "recipe.resolved.yaml"
        if not resolved.is_file() or not (folder / MODEL_FILE).is_file():
            hint = f"the folder of a run has {MODEL_FILE} and {resolved.name} once its training is finished"
            raise UsageError(f"{folder} is not the folder of a run with a finished training", hint=hint)
        text = resolved.read_text("utf-8")
        recipe = parse_recipe(text, str(resolved)).plain()
        record = _json(folder / "run.json")
        versions = dict(_VERSION.findall(header_comment(text)))
        return cls(folder, read_card(folder / MODEL_FILE), recipe, record, versions)

    @property
    def model_file(self) -> Path:
        """The model file of the run."""
        return self.folder / MODEL_FILE

    def training(self, device: str | None = None) -> TrainingFacts:
        """Seed, steps, time and device of the training.

        Args:
            device: Description of the device; default: what the run recorded.
        """
        provenance, record = self.card.provenance, self.record
        recorded = provenance.get("training", {})
        chosen = {
            phase: f"{outcome['measure']}, step {outcome['best_step']}"
            for phase, outcome in record.get("validation", {}).items()
            if outcome.get("weights") == "best"
        }
        # The log also has the steps before an interruption, which the record of a resumed run lacks.
        logged = logged_seconds(self.folder / "metrics.jsonl")
        seconds = max(float(record.get("training_seconds", recorded.get("seconds", 0.0))), logged)
        return TrainingFacts(
            seed=int(self.recipe.get("seed", 0)),
            steps=dict(record.get("steps", provenance.get("steps", {}))),
            seconds=round(seconds, 1) or None,
            device=device or record.get("device", recorded.get("device")),
            processes=int(record.get("processes", 1)),
            versions={"fusekit": self.card.version, **self.versions},
            selected_by=chosen,
        )

    def retraining_recipe(self) -> tuple[str, list[str]]:
        """The resolved recipe as YAML, without paths of this machine, and notes about what a reader must provide."""
        recipe, notes = copy.deepcopy(self.recipe), list[str]()
        recipe.get("data", {})["root"] = None
        for name, part in recipe.get("model", {}).items():
            origin = part.get("from") if isinstance(part, dict) else None
            if origin is None or not re.search(r"[/\\]", origin):
                continue
            origin = part["from"] = _portable(origin)
            notes.append(f"Retraining needs the {name} of the model file {origin}, which is not part of this file.")
        return dump_yaml(recipe), notes

    def provenance(self) -> dict[str, Any]:
        """The provenance of the model file without paths of this machine."""
        kept = without_release(self.card.provenance)
        if isinstance(kept.get("parts"), dict):
            parts = kept["parts"].items()
            kept["parts"] = {name: {**part, "from": _portable(str(part.get("from")))} for name, part in parts}
        return kept

    def metrics_trained_for(self, tables: Sequence[Table]) -> list[str]:
        """Metrics whose short name is that of a loss term of the recipe, in the order of the tables."""
        losses = {
            use.partition(".")[2]
            for phase in [*self.recipe.get("pretrain", {}).values(), self.recipe.get("train")]
            for use in _named(phase, "loss")
        }
        keys = dict.fromkeys(column.key for table in tables for column in table.metrics)
        return [key for key in keys if key.partition(".")[2] in losses]


def kept_section(run: FinishedRun, kept: Sequence[str]) -> dict[str, Any]:
    """The ``model`` section of the packed file: the kept parts with all their parameters.

    Raises:
        UsageError: A part is a component of a local file, which nobody else has.
    """
    section = {}
    for name in ModelSection.model_fields:
        part = run.recipe["model"].get(name)
        if part is not None and name in kept:
            if str(part["use"]).startswith("local."):
                raise UsageError(
                    f"the {name} {part['use']!r} is defined in a local file, so nobody else could load the weights",
                    hint="move the component to a plugin (fusekit plugins new) and train again",
                )
            section[name] = {"use": part["use"], "params": part.get("params", {})}
    return section


def logged_seconds(log: Path) -> float:
    """Duration of all training steps and validations in the log of a run; 0 without a log."""
    return sum(float(record.get("seconds", 0.0)) for record in TrainingLog(log).read())


def read_table(path: Path) -> Table:
    """An evaluation, given by the folder of its run or its ``evaluation.json``.

    Raises:
        DataError: The file is missing or not an evaluation.
    """
    file = path / "evaluation.json" if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"no evaluation {file}", hint="fusekit run RECIPE --stage evaluate writes it")
    content = _json(file)
    rows = (content.get("task") or {}).get("rows", [])
    scenes = content.get("scenes", [])
    try:
        columns = [{**column, "key": key} for key, column in content.get("metrics", {}).items()]
        return Table.model_validate({**content, "metrics": columns, "scenes": len(scenes), "task": rows})
    except (ValidationError, TypeError, AttributeError) as error:
        reason = first_problem(error) if isinstance(error, ValidationError) else str(error)
        raise DataError(f"{file} is not an evaluation: {reason}") from error


def _portable(path: str) -> str:
    """A path relative to the working directory as it is; of an absolute path, the last folder and the name."""
    return "/".join(Path(path).parts[-2:]) if Path(path).is_absolute() else path


def _named(node: Any, key: str) -> list[str]:
    """The components that are listed under a key anywhere below a node."""
    if isinstance(node, Mapping):
        listed = node.get(key)
        own = [str(entry["use"]) for entry in listed if "use" in entry] if isinstance(listed, list) else []
        return own + [use for value in node.values() for use in _named(value, key)]
    return [use for value in node for use in _named(value, key)] if isinstance(node, list) else []


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is not a record of a run")
    return content
