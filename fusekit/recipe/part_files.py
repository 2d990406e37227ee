"""Parts of a model that come from a model file: ``from`` in the sections of a recipe's parts. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fusekit.errors import DataError, UsageError
from fusekit.recipe.fields import fields_of
from fusekit.recipe.model_card import ModelCard, read_card
from fusekit.recipe.model_location import locate_model
from fusekit.recipe.problems import Problem, RecipeProblems, dotted
from fusekit.recipe.schema import ModelSection, PartComponentRef
from fusekit.recipe.tree import Node, node_from_plain


def parts_from_files(section: ModelSection) -> dict[str, Path]:
    """Name of each part that comes from a model file → the file."""
    return {name: locate_model(given) for name, given in part_origins(section).items()}


def part_origins(section: ModelSection) -> dict[str, str]:
    """Name of each part that comes from a model file → the file as the recipe names it."""
    refs = {name: getattr(section, name) for name in fields_of(ModelSection)}
    return {
        name: ref.weights_from
        for name, ref in refs.items()
        if isinstance(ref, PartComponentRef) and ref.weights_from is not None
    }


def expand_parts(tree: Node) -> Node:
    """Fills in the component and the parameters of each part that comes ``from`` a model file.

    A part that names a component (``use``) keeps it and its parameters; its weights must fit.

    Raises:
        RecipeProblems: A file is missing or not a model file, or it has no such part, or another component.
    """
    model = tree.child("model")
    if model is None or not isinstance(model.value, dict):
        return tree
    parts: dict[str, Node] = dict(model.value)
    problems = []
    for name, part in model.value.items():
        source = part.child("from")
        if source is None or not isinstance(source.value, str):
            continue
        try:
            parts[name] = _expanded(name, part, source.value)
        except (DataError, UsageError) as error:
            problems.append(Problem(dotted(("model", name, "from")), error.message, str(source.at)))
    if problems:
        raise RecipeProblems(problems)
    return tree.with_value({**tree.value, "model": model.with_value(parts)})


def _expanded(name: str, part: Node, given: str) -> Node:
    card = read_card(locate_model(given))
    stored = _stored_part(card, name, given)
    written = part.child("use")
    if written is not None:
        if written.value != stored["use"]:
            raise DataError(f"the {name} of {given} is {stored['use']!r}, not {written.value!r}")
        return part
    if part.child("params") is not None:
        raise DataError(f"params cannot be set without use; {given} defines the parameters of its {name}")
    added = node_from_plain({"use": stored["use"], "params": stored.get("params", {})}, part.at)
    return part.with_value({**added.value, **part.value})


def _stored_part(card: ModelCard, name: str, given: str) -> dict[str, Any]:
    stored = card.model.get(name)
    if not isinstance(stored, dict) or not isinstance(stored.get("use"), str):
        names = ", ".join(key for key in fields_of(ModelSection) if key in card.model) or "no parts"
        raise DataError(f"{given} has no {name}; it has {names}")
    return stored
