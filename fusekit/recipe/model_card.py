"""The card of a model file: what it contains, without its weights. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints, ValidationError
from safetensors import SafetensorError, safe_open

from fusekit._version import __version__
from fusekit.errors import DataError
from fusekit.interfaces.context import ClassTable
from fusekit.recipe.problems import dotted

ROLE = r"^[^/\\\x00-\x1f]{1,100}$"
"""Pattern of a valid role: files are named after it, so it must not be a path."""

FORMAT = "fusekit-model-1"

MODEL_FILE = "model.safetensors"
"""Name of the model file in the folder of a run."""

DAMAGED = "the file is damaged; create it again from the checkpoints of its run, or import it again"


@dataclass(frozen=True)
class ModelCard:
    """Metadata of a model file.

    Attributes:
        model: The ``model`` section of the recipe.
        roles: Roles of the sources, in order.
        classes: Plain class table, or None.
        provenance: Origin of the weights (recipe, data, seed, steps, import), plain data.
        version: Version of fusekit that wrote the file.
    """

    model: Mapping[str, Any]
    roles: tuple[str, ...]
    classes: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__


class _Classes(BaseModel):
    """A class table in a model file."""

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    ignore_index: int
    unlabelled: int | None


class _Content(BaseModel):
    """Schema of a model file's metadata. It checks only types; the model section is validated when it is built."""

    model: dict[str, Any]
    roles: tuple[Annotated[str, StringConstraints(pattern=ROLE)], ...]
    classes: _Classes | None
    provenance: dict[str, Any]
    version: str


def read_card(path: Path) -> ModelCard:
    """The metadata of a model file; reads no weights.

    Raises:
        DataError: The file does not exist, or it is not a model file of fusekit.
    """
    if not path.is_file():
        raise DataError(
            f"no model file {path}",
            hint=f"a finished run has one at runs/NAME/{MODEL_FILE}; fusekit weights list shows shipped ones",
        )
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path} is not a readable safetensors file: {error}",
            hint="to convert third-party weights, use `fusekit weights import`",
        ) from error
    if metadata.get("format") != FORMAT:
        raise DataError(
            f"{path} is a safetensors file, but not a model file of fusekit",
            hint="to convert third-party weights, use `fusekit weights import`",
        )
    try:
        content = _Content.model_validate_json(metadata.get("fusekit", ""), strict=True)
        classes = content.classes.model_dump(mode="json") if content.classes is not None else None
        if classes is not None:
            ClassTable.from_plain(classes)
    except ValidationError as error:
        raise DataError(f"{path}: damaged metadata: {first_problem(error)}", hint=DAMAGED) from error
    except ValueError as error:
        raise DataError(f"{path}: damaged metadata: classes: {error}", hint=DAMAGED) from error
    return ModelCard(content.model, content.roles, classes, content.provenance, content.version)


def first_problem(error: ValidationError) -> str:
    """The first problem, with its path."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{dotted(first['loc'])}: {first['msg']}" if first["loc"] else str(first["msg"])
