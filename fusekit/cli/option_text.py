"""A component's options as text: name, default, allowed values, description. Imports no torch."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fusekit.interfaces.config import ComponentRef
from fusekit.recipe.fields import field_kind, fields_of, is_list, is_mapping, is_model, item_type, strip

_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
    Any: "anything",
    types.NoneType: "null",
}
_LIMITS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"), ("multiple_of", "a multiple of"))


@dataclass(frozen=True)
class OptionText:
    """One option as it is shown to users.

    Attributes:
        name: Its key below ``params``.
        default: As it would be written in a recipe; None where the option is required.
        allowed: The allowed values.
        description: What the option does.
        depth: 0 for an option of the component, 1 for an option of a section in it, and so on.
        component: The default component of an option whose value is a component, else None.
    """

    name: str
    default: str | None
    allowed: str
    description: str
    depth: int = 0
    component: str | None = None


def option_texts(config: type[BaseModel], depth: int = 0) -> Iterator[OptionText]:
    """The options of a ``Config``, including inherited ones and those of nested sections."""
    for name, info in fields_of(config).items():
        default = None if info.is_required() else info.get_default(call_default_factory=True)
        section = strip(info.annotation)[0]
        nested = is_model(section) and not issubclass(section, ComponentRef)
        shown = "" if nested and default is not None else value_text(default)
        yield OptionText(
            name,
            None if info.is_required() else shown,
            _type_text(info.annotation, info.metadata, field_kind(info)),
            info.description or "",
            depth,
            default.use if isinstance(default, ComponentRef) else None,
        )
        if nested:
            yield from option_texts(section, depth + 1)


def value_text(value: Any) -> str:
    """A value as it would be written in a recipe."""
    if isinstance(value, ComponentRef):
        params = f", params: {value_text(value.params)}" if value.params else ""
        return f"{{use: {value.use}{params}}}"
    if isinstance(value, Enum):
        return value_text(value.value)
    if isinstance(value, str | Path):
        text = str(value)
        plain = re.fullmatch(r"[A-Za-z_][\w./-]*", text) and text.lower() not in ("null", "true", "false")
        return text if plain else json.dumps(text, ensure_ascii=False)
    if isinstance(value, BaseModel):
        return value_text({key: getattr(value, key) for key in type(value).model_fields})
    if isinstance(value, dict):
        return f"{{{', '.join(f'{value_text(k)}: {value_text(v)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(value_text(v) for v in value)}]"
    return json.dumps(value, default=str)


def _type_text(annotation: Any, metadata: list[Any], kind: str | None = None) -> str:
    """A type with its limits, which are in `metadata` or, for a member or an item, inside `Annotated`."""
    origin, args = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):  # Annotated
        _, marked, _ = strip(annotation)
        return _type_text(annotation.__origin__, [*annotation.__metadata__, *metadata], kind or marked)
    if origin in (Union, types.UnionType):
        members = [_type_text(a, [] if a is types.NoneType else metadata, kind) for a in args]
        return " or ".join(dict.fromkeys(members))
    if annotation is types.NoneType:
        return "null"
    if kind is not None:
        return f"a {kind}"
    if origin is Literal:
        return " | ".join(value_text(a) for a in args)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " | ".join(value_text(member) for member in annotation)
    if is_model(annotation):
        return "section"
    if is_list(annotation) or is_mapping(annotation):
        return _container_text(annotation) + _lengths(metadata, "entries")
    name = _WORDS[annotation] if annotation in _WORDS else str(getattr(annotation, "__name__", annotation))
    return name + _limits(metadata) + _lengths(metadata, "characters")


def _container_text(annotation: Any) -> str:
    args = get_args(annotation)
    if get_origin(annotation) is tuple and args and Ellipsis not in args:
        return f"[{', '.join(_type_text(a, []) for a in args)}]"
    inner = item_type(annotation)
    known = args and inner is args[0 if Ellipsis in args else -1]
    word = "mapping" if is_mapping(annotation) else "list"
    return f"{word} of {_type_text(inner, [])}" if known else word


def _limits(metadata: list[Any]) -> str:
    found = [
        f"{sign} {_number(value)}"
        for item in _flat(metadata)
        for name, sign in _LIMITS
        if (value := getattr(item, name, None)) is not None
    ]
    return f" {', '.join(found)}" if found else ""


def _lengths(metadata: list[Any], unit: str) -> str:
    items = _flat(metadata)
    least = next((m.min_length for m in items if getattr(m, "min_length", None)), 0)
    most = next((m.max_length for m in items if getattr(m, "max_length", None) is not None), None)
    pattern = next((m.pattern for m in items if getattr(m, "pattern", None) is not None), None)
    words = []
    if least:
        words.append("not empty" if least == 1 else f"at least {least} {unit}")
    if most is not None:
        words.append(f"at most {most} {unit}")
    if pattern is not None:
        words.append(f"of the form {pattern}")
    return "".join(f", {word}" for word in words)


def _flat(metadata: list[Any]) -> list[Any]:
    """Limits inside `Annotated` may come wrapped in a field description."""
    return [inner for item in metadata for inner in (item.metadata if isinstance(item, FieldInfo) else [item])]


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
