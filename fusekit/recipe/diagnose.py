"""Translates pydantic's errors into messages about a recipe, with positions. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from fusekit.recipe.fields import field_at, field_paths, fields_of, model_at
from fusekit.recipe.problems import Problem, TreePath, dotted
from fusekit.recipe.tree import Mark, Node
from fusekit.recipe.yaml_reader import describe
from fusekit.words import nearest

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "null",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "a multiple of"),
}


def problems_of(
    error: ValidationError, model: type[BaseModel], tree: Node, base: TreePath = (), *, owner: str = ""
) -> list[Problem]:
    """Translates pydantic's errors into problems of a recipe.

    Args:
        error: All errors of one validation.
        model: The model that was validated against.
        tree: The whole recipe, for positions.
        base: Path of the validated value in the recipe.
        owner: The component that the parameters belong to, such as ``"task 'toyseg.small'"``, for the messages.

    Returns:
        One problem for each wrong value, in the order of the recipe.
    """
    found: dict[TreePath, list[tuple[Mark, Problem]]] = {}
    for entry in error.errors(include_url=False):
        path = _real_path(tuple(entry["loc"]), entry["type"], tree.find(base), model)
        mark, problem = _problem(entry, path, model, tree, base, owner)
        same = found.setdefault(path, [])
        if problem.message not in [p.message for _, p in same]:
            same.append((mark, problem))
    made = []
    for same in found.values():
        # For a union, pydantic reports every member that did not match; for a reader that is one problem.
        mark, first = same[0]
        suggestion = next((p.suggestion for _, p in same if p.suggestion), None)
        message = "; or: ".join(p.message for _, p in same)
        made.append((mark, Problem(first.path, message, first.where, suggestion)))
    return [p for _, p in sorted(made, key=lambda item: (item[0].source, item[0].line, item[0].column))]


def _real_path(loc: TreePath, kind: str, node: Node | None, model: type[BaseModel]) -> TreePath:
    """The location without the names of union members and validators that pydantic inserts between keys."""
    path: TreePath = ()
    for index, key in enumerate(loc):
        below = node.child(key) if node is not None else None
        absent = kind == "missing" and index == len(loc) - 1
        # A default value is not written in the recipe, but the model has a field for it.
        if below is not None or absent or field_at(model, (*path, key)) is not None:
            path, node = (*path, key), below
    return path


def _problem(
    entry: Mapping[str, Any], path: TreePath, model: type[BaseModel], tree: Node, base: TreePath, owner: str
) -> tuple[Mark, Problem]:
    kind = entry["type"]
    message, suggestion = _message(entry)
    if kind == "extra_forbidden" and path:
        message, suggestion = _unknown_key(path, model, owner)
    elif kind == "missing":
        message = "missing" + _description(model, path)
    elif message is None:
        given = describe(entry["input"]) if _is_plain(entry["input"]) else None
        wanted = _WANTED.get(kind)
        if wanted is not None:
            message = f"must be {wanted}, not {given}" + _quoting(wanted, entry["input"])
        else:
            message = str(entry["msg"]) + (f", not {given}" if given else "")
    full = (*base, *path)
    where = tree.where(full, key=kind == "extra_forbidden")
    return where, Problem(dotted(full), message or "", str(where), suggestion)


def _message(entry: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The message and suggestion of error types that need nothing but the entry itself."""
    kind, context, given = entry["type"], entry.get("ctx") or {}, entry["input"]
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"must be {words} {context[key]:g}, not {given}", None
    if kind in ("literal_error", "enum"):
        expected = str(context["expected"])
        allowed = [part.strip("'\" ") for part in expected.replace(" or ", ", ").split(", ")]
        suggestion = nearest(given, allowed, 0.8) if isinstance(given, str) else None
        one = "must be" if len(allowed) == 1 else "must be one of"
        return f"{one} {expected}, not {describe(given)}", suggestion
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", entry["msg"])), None
    if kind == "string_pattern_mismatch":
        return f"{describe(given)} does not have the form {context['pattern']}", None
    if kind in ("too_short", "string_too_short"):
        return f"needs at least {context['min_length']} {_counted(kind)}", None
    if kind in ("too_long", "string_too_long"):
        return f"may have at most {context['max_length']} {_counted(kind)}", None
    return None, None


def _counted(kind: str) -> str:
    return "characters" if kind.startswith("string") else "items"


def _quoting(wanted: str, given: Any) -> str:
    """Advice for values where only the quotes are wrong."""
    if wanted == "text" and isinstance(given, int | float):
        return "; put it in quotes"
    if wanted in ("a whole number", "a number") and isinstance(given, str):
        converter: Callable[[str], Any] = int if wanted == "a whole number" else float
        try:
            converter(given)
        except ValueError:
            return ""
        return "; write it without quotes"
    return ""


def _unknown_key(path: TreePath, model: type[BaseModel], owner: str) -> tuple[str, str | None]:
    key = str(path[-1])
    holder = model_at(model, path[:-1])
    known = list(fields_of(holder)) if holder is not None else []
    what = f"{owner} has no such parameter" if owner else "no such key"
    near = nearest(key, known)
    if near is None:
        # The right key in the wrong section, such as `lr` directly under `train`.
        near = next((dotted((*path[:-1], *p)) for p in field_paths(holder) if p[-1] == key), None) if holder else None
    if near is None and known:
        return f"{what}; choose from {', '.join(known)}", None
    if near is None and owner:
        return f"{what}: it has no parameters", None
    return what, near


def _description(model: type[BaseModel], path: TreePath) -> str:
    info = field_at(model, path)
    return f" ({info.description})" if info is not None and info.description else ""


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | dict | list)
