"""The facts about released weights that their model file holds. Imports no torch.

They are stored as plain data in the provenance of the model file, under `KEY`. A model file is not trusted: all types
are checked when the facts are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fusekit.errors import DataError
from fusekit.recipe.model_card import ModelCard, first_problem

KEY = "release"


class Facts(BaseModel):
    """Base class of the facts: immutable, and without conversion of types."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, strict=True, extra="ignore")


class SceneList(Facts):
    """Number of scenes of a split, and SHA-256 of their sorted identifiers, one per line."""

    scenes: int
    sha256: str


class DataFacts(Facts):
    """The data on which the weights were trained and evaluated."""

    name: str
    synthetic: bool = False
    labels: str | None = None
    note: str = ""
    splits: dict[str, SceneList] = {}
    members: dict[str, int] = {}
    held_out: int = 0


class TrainingFacts(Facts):
    """Circumstances of the training."""

    seed: int
    steps: dict[str, int] = {}
    seconds: float | None = None
    device: str | None = None
    processes: int = 1
    versions: dict[str, str] = {}
    selected_by: dict[str, str] = {}


class MetricColumn(Facts):
    """A column of a table; `key` is the name of the metric's component."""

    key: str
    name: str
    dialect: str
    unit: str = ""
    higher_is_better: bool


class MethodRow(Facts):
    """A row of a table: the mean of each metric over the scenes."""

    name: str
    is_model: bool
    mean: dict[str, float | None]


class TaskRow(Facts):
    """Mean intersection over union of the task network on the images of one method."""

    input: str
    is_model: bool
    mean_iou: float | None


class Table(Facts):
    """One evaluation."""

    subset: str
    scenes: int
    note: str = ""
    metrics: list[MetricColumn]
    methods: list[MethodRow]
    task: list[TaskRow] = []


class Verification(Facts):
    """A pair of sources, and the results of the weights for it; images are PNG files in base64."""

    sources: dict[str, str]
    fused: str
    metrics: dict[str, float]
    labels: str | None = None


class Release(Facts):
    """All facts about released weights; `recipe` is YAML, because the order of its keys can matter."""

    summary: str
    task: str
    licence: str
    limits: list[str]
    data: DataFacts
    training: TrainingFacts
    tables: list[Table] = []
    trained_for: list[str] = []
    recipe: str
    kept: list[str]
    dropped: list[str] = []
    storage: Literal["float32", "float16"] = "float32"
    verification: Verification
    notes: list[str] = []


def release_of(card: ModelCard, what: str | Path) -> Release | None:
    """The facts in a model file; None if it was not made by `fusekit weights pack`.

    Args:
        card: Metadata of the file.
        what: Name of the file, for messages.

    Raises:
        DataError: The facts are damaged.
    """
    plain = card.provenance.get(KEY)
    if plain is None:
        return None
    try:
        return Release.model_validate(plain)
    except ValidationError as error:
        raise DataError(f"{what}: the facts about the weights are damaged: {first_problem(error)}") from error


def require_release(card: ModelCard, what: str | Path) -> Release:
    """As `release_of`, for commands that need the facts.

    Raises:
        DataError: There are no facts, or they are damaged.
    """
    release = release_of(card, what)
    if release is None:
        raise DataError(f"{what} does not hold the facts of released weights", hint="fusekit weights pack adds them")
    return release


def scene_list(identifiers: Iterable[str]) -> SceneList:
    """Number and hash of the scenes of a split; the order does not matter."""
    names = sorted(identifiers)
    return SceneList(scenes=len(names), sha256=sha256("\n".join(names).encode("utf-8", "replace")).hexdigest())


def plain(facts: Facts) -> Mapping[str, Any]:
    """Facts as plain data for a model file."""
    return facts.model_dump(mode="json")


def without_release(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance of a model file without the facts of released weights, which another file need not repeat."""
    return {key: value for key, value in provenance.items() if key != KEY}
