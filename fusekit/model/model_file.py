"""The model file: weights as safetensors, with everything needed to build the model again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from fusekit.errors import DataError, UsageError
from fusekit.files import write_atomically
from fusekit.interfaces.context import ClassTable
from fusekit.model.assembly import build_system, model_section
from fusekit.model.bounded_build import build_checked
from fusekit.model.strict_loading import check_shapes, load_strictly, shapes_of
from fusekit.model.system import FusionSystem
from fusekit.plugin.registry import Registry, registry
from fusekit.recipe.components import validate_components
from fusekit.recipe.model_card import DAMAGED, FORMAT, ModelCard, first_problem, read_card
from fusekit.recipe.part_files import part_origins
from fusekit.recipe.problems import RecipeProblems
from fusekit.recipe.schema import ModelSection
from fusekit.recipe.tree import node_from_plain


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
        UsageError: The system was assembled by hand without a description, so its file could not be loaded.
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


def load_system(
    path: Path, *, device: torch.device | str = "cpu", components: Registry | None = None
) -> tuple[FusionSystem, ModelCard]:
    """Builds the system of a model file and loads its weights, strictly.

    The file is not trusted: names and shapes are compared with the file's header before memory is allocated for the
    model, and pretrained weights from which its parts would start are not loaded.

    Raises:
        DataError: The file is not a model file, or its weights do not fit the model that it describes.
        PluginError: A component that it needs is missing.
    """
    card = read_card(path)
    known = components or registry()
    section = _section(path, card, known)
    classes = ClassTable.from_plain(dict(card.classes)) if card.classes is not None else None
    build = partial(build_system, section, roles=card.roles, classes=classes, components=known, pretrained=False)
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        shapes = {name: torch.Size(file.get_slice(name).get_shape()) for name in names}
        try:
            system = build_checked(
                build,
                lambda on_meta: check_shapes(shapes_of(on_meta.state_dict()), shapes, str(path)),
                tensors=len(names),
                size=path.stat().st_size,
                what=str(path),
            )
        except UsageError as error:  # the cause is the file, not the user's request
            raise DataError(f"{path} describes a model that is not valid: {error.message}", hint=error.hint) from error
        state = {name: file.get_tensor(name) for name in names}
    load_strictly(system, state, str(path))
    return system.to(device).eval(), card


def _section(path: Path, card: ModelCard, components: Registry) -> ModelSection:
    """The model section of a file, after checking the parameters of all components; builds and imports nothing."""
    try:
        section = model_section(card.model)
        validate_components(section, components, node_from_plain(card.model))
    except ValidationError as error:
        raise DataError(f"{path}: its model section is not valid: {first_problem(error)}", hint=DAMAGED) from error
    except RecipeProblems as error:
        message = "\n".join(f"{path}: model.{line}" for line in error.message.splitlines()[:5])
        raise DataError(message, hint="the file is damaged, or belongs to another version of these plugins") from error
    if part_origins(section):  # never looked up: the file is not trusted
        raise DataError(f"{path}: a model file cannot take parts from other files", hint=DAMAGED)
    return section
