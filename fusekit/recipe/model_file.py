"""The model file: weights as safetensors, with all that is needed to build the model again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fusekit._version import __version__
from fusekit.errors import DataError, UsageError
from fusekit.files import write_atomically
from fusekit.interfaces.context import ClassTable
from fusekit.plugin.registry import Registry
from fusekit.recipe.assembly import build_system, model_section
from fusekit.recipe.system import FusionSystem

FORMAT = "fusekit-model-1"

MODEL_FILE = "model.safetensors"
"""Name of the model file in the folder of a run."""


@dataclass(frozen=True)
class ModelCard:
    """What a model file says about itself.

    Attributes:
        model: The ``model`` section of the recipe.
        roles: Roles of the sources, in order.
        classes: Plain class table, or None.
        provenance: Where the weights come from (recipe, data, seed, steps, import), plain data.
        version: fusekit's version that wrote it.
    """

    model: Mapping[str, Any]
    roles: tuple[str, ...]
    classes: Mapping[str, Any] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__


def save_state(path: Path, state: Mapping[str, Tensor], card: ModelCard) -> None:
    """Writes a model file atomically.

    Raises:
        RunError: The file cannot be written.
    """
    content = {
        "model": card.model,
        "roles": list(card.roles),
        "classes": card.classes,
        "provenance": card.provenance,
        "version": card.version,
    }
    metadata = {"format": FORMAT, "fusekit": json.dumps(content, sort_keys=True)}
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata))


def save_model(path: Path, system: FusionSystem, provenance: Mapping[str, Any] | None = None) -> None:
    """Writes a system as a model file.

    Raises:
        UsageError: The system was put together by hand without a description, so nothing could load it.
        RunError: The file cannot be written.
    """
    if system.description is None:
        raise UsageError(
            "this system has no description, so its file could not be loaded again",
            hint="pass FusionSystem(..., description=...) the `model` section that describes its parts",
        )
    classes = system.classes.to_plain() if system.classes is not None else None
    card = ModelCard(system.description, system.roles, classes, dict(provenance or {}))
    save_state(path, system.state_dict(), card)


def read_card(path: Path) -> ModelCard:
    """What a model file says about itself; reads no weights.

    Raises:
        DataError: There is no such file, or it is not a model file of fusekit.
    """
    if not path.is_file():
        raise DataError(f"no model file {path}", hint=f"a run leaves one at runs/NAME/{MODEL_FILE}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path} is not a readable safetensors file: {error}",
            hint="weights in authors' own format are converted with `fusekit weights import`",
        ) from error
    if metadata.get("format") != FORMAT:
        raise DataError(
            f"{path} is a safetensors file, but not a model file of fusekit",
            hint="weights in authors' own format are converted with `fusekit weights import`",
        )
    try:
        content = json.loads(metadata["fusekit"])
        return ModelCard(
            content["model"],
            tuple(content["roles"]),
            content["classes"],
            content["provenance"],
            content["version"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: damaged metadata: {error}") from error


def load_system(
    path: Path, *, device: torch.device | str = "cpu", components: Registry | None = None
) -> tuple[FusionSystem, ModelCard]:
    """Builds the system of a model file and loads its weights, strictly.

    Raises:
        DataError: The file is not a model file, or its weights do not fit the model that it describes.
        PluginError: A component that it needs is missing.
    """
    card = read_card(path)
    try:
        section = model_section(card.model)
    except ValidationError as error:
        raise DataError(f"{path}: its model section is not valid: {error.errors()[0]['msg']}") from error
    classes = ClassTable.from_plain(dict(card.classes)) if card.classes is not None else None
    system = build_system(section, roles=card.roles, classes=classes, components=components)
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    load_strictly(system, state, str(path))
    return system.to(device).eval(), card


def load_strictly(system: FusionSystem, state: Mapping[str, Tensor], what: str) -> None:
    """Loads a state dict that must fit exactly.

    Raises:
        DataError: Names or shapes differ; says which.
    """
    own = system.state_dict()
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [
        f"{name} is {tuple(state[name].shape)}, the model has {tuple(own[name].shape)}"
        for name in own.keys() & state.keys()
        if own[name].shape != state[name].shape
    ]
    problems = [f"missing {n}" for n in missing] + [f"unknown {n}" for n in unknown] + sorted(shapes)
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise DataError(
            f"{what} does not fit the model: {'; '.join(problems[:5])}{more}",
            hint="the weights belong to a model with other parts or parameters, or to another version",
        )
    system.load_state_dict(dict(state))
