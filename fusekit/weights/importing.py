"""Imports third-party weights into a model file."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from pydantic import ValidationError

from fusekit.errors import DataError, PluginError, UsageError
from fusekit.files import file_digest
from fusekit.interfaces.config import ComponentRef
from fusekit.interfaces.context import ClassTable
from fusekit.interfaces.importer import WeightsImporter
from fusekit.model.assembly import Builder, build_system, model_section
from fusekit.model.model_file import save_state
from fusekit.model.strict_loading import load_strictly
from fusekit.plugin.imports import one_line
from fusekit.plugin.registry import Registry, registry
from fusekit.recipe.model_card import ModelCard
from fusekit.words import did_you_mean


def import_weights(
    name: str, file: Path, out: Path, *, overwrite: bool = False, components: Registry | None = None
) -> ModelCard:
    """Converts a released weights file to a model file, and checks that the model loads it.

    Args:
        name: An importer component, or the namespace of a plugin that has one.
        file: The released file; read with ``weights_only=True``, so it cannot run code.
        out: The model file to write, ``.safetensors``.
        overwrite: Replace `out` if it exists.
        components: Registry in which importers are looked up.

    Returns:
        Description of the written model file, with the importer's notes in its provenance.

    Raises:
        DataError: The file is missing, unreadable, contains more than tensors, or is not supported by the importer.
        PluginError: The importer does not exist.
        UsageError: `out` exists or has another suffix.
    """
    known = components or registry()
    if out.suffix != ".safetensors":
        raise UsageError(f"{out}: the name of a model file must end in .safetensors")
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists", hint="--overwrite replaces it")
    component = _find(name, known)
    importer: WeightsImporter = Builder((), None, known).build("importer", ComponentRef(use=component))
    imported = importer.convert(_read(file))
    card = ModelCard(
        imported.model,
        imported.roles,
        imported.classes,
        {
            "imported_by": component,
            "from": file.name,
            "sha256": file_digest(file),
            "notes": list(imported.notes),
        },
    )
    try:
        section = model_section(dict(imported.model))
    except ValidationError as error:
        raise PluginError(f"importer {component!r} describes a model that is not valid: {error}") from error
    classes = ClassTable.from_plain(dict(imported.classes)) if imported.classes is not None else None
    system = build_system(section, roles=imported.roles, classes=classes, components=known, pretrained=False)
    load_strictly(system, imported.state, str(file))
    save_state(out, imported.state, card)
    return card


def _find(name: str, known: Registry) -> str:
    importers = [spec.name for spec in known.specs("importer")]
    matching = [full for full in importers if name in (full, full.partition(".")[0])]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(f"{name!r} has several importers", hint=f"choose one: {', '.join(matching)}")
    namespaces = [full.partition(".")[0] for full in importers]
    raise PluginError(
        f"no importer {name!r}{did_you_mean(name, [*importers, *namespaces])}",
        hint=f"installed: {', '.join(importers) or 'none'}",
    )


def _read(file: Path) -> object:
    if not file.is_file():
        raise DataError(f"no file {file}")
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{file} contains more than tensors and was not read, because reading it could run code",
            hint="save only its state dict again, in an environment that you trust",
        ) from error
    except Exception as error:  # unpickling may raise any exception, depending on the content of the file
        raise DataError(f"{file} is not a readable weights file: {one_line(error)}") from error
