"""Inspects pydantic models as descriptions of recipes: their keys, and the fields that take components.

Imports no torch.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fusekit.interfaces.config import ComponentRef, NestedKind
from fusekit.recipe.problems import TreePath

ANY = object()
"""Placeholder for an unknown type, such as the values under ``params``."""


@dataclass(frozen=True)
class Reference:
    """Reference to a component in a recipe, or in the parameters of another component.

    Attributes:
        kind: Kind of component.
        ref: Its name and parameters.
        path: Path in the recipe of a mapping with ``use`` and ``params``, or of just the name.
        bare: Whether it is just the name.
    """

    kind: str
    ref: ComponentRef
    path: TreePath
    bare: bool = False

    @property
    def use_path(self) -> TreePath:
        """Path of its name."""
        return self.path if self.bare else (*self.path, "use")

    @property
    def params_path(self) -> TreePath:
        """Path of its parameters."""
        return (*self.path, "params")


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model under the names that recipes use for them."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def strip(annotation: Any) -> tuple[Any, str | None, bool]:
    """Removes `Annotated` and ``| None`` from a type.

    Returns:
        The bare type, the kind of component that it takes, and whether it may be None.
    """
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *extras = get_args(annotation)
        bare, kind, optional = strip(inner)
        return bare, next((x.kind for x in extras if isinstance(x, NestedKind)), kind), optional
    if origin in (Union, types.UnionType):
        members = get_args(annotation)
        others = [m for m in members if m is not type(None)]
        if len(others) == 1:
            bare, kind, _ = strip(others[0])
            return bare, kind, True
        return annotation, None, len(others) < len(members)
    return annotation, None, annotation is type(None)


def field_kind(info: FieldInfo) -> str | None:
    """The kind of component that a field takes, or None."""
    marked = next((x.kind for x in info.metadata if isinstance(x, NestedKind)), None)
    return marked or strip(info.annotation)[1]


def held_kind(info: FieldInfo) -> str | None:
    """The kind of component that a field takes, directly or in a list or mapping."""
    return field_kind(info) or _kind_inside(info.annotation)


def _kind_inside(annotation: Any) -> str | None:
    kind = strip(annotation)[1]
    return kind or next((k for a in get_args(annotation) if (k := _kind_inside(a)) is not None), None)


def item_type(annotation: Any) -> Any:
    """The type of the values of a mapping or the items of a list; `ANY` if it is not known."""
    bare, _, _ = strip(annotation)
    args = [a for a in get_args(bare) if a is not Ellipsis]
    origin = get_origin(bare)
    if isinstance(origin, type) and issubclass(origin, Mapping | Sequence | set | frozenset) and args:
        return ANY if args[-1] is Any else args[-1]
    return ANY


def is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    """Whether a stripped type is a pydantic model."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def is_mapping(annotation: Any) -> bool:
    """Whether a stripped type is a mapping with free keys."""
    origin = get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, Mapping)


def is_list(annotation: Any) -> bool:
    """Whether a stripped type is a list, a tuple or another sequence of items."""
    origin = get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, list | tuple | set | frozenset)


def field_at(model: type[BaseModel], path: TreePath) -> FieldInfo | None:
    """The field at a path inside a model, or None if there is no field."""
    annotation: Any = model
    info: FieldInfo | None = None
    for key in path:
        bare = strip(annotation)[0]
        if is_model(bare):
            info = fields_of(bare).get(str(key))
            if info is None:
                return None
            annotation = info.annotation
        else:
            info, annotation = None, item_type(bare)
    return info


def model_at(model: type[BaseModel], path: TreePath) -> type[BaseModel] | None:
    """The model of the mapping at a path, or None if it is not a model."""
    annotation: Any = model
    for key in path:
        bare = strip(annotation)[0]
        if is_model(bare):
            info = fields_of(bare).get(str(key))
            annotation = info.annotation if info is not None else ANY
        else:
            annotation = item_type(bare)
    bare = strip(annotation)[0]
    return bare if is_model(bare) else None


def field_paths(model: type[BaseModel], path: TreePath = ()) -> Iterator[TreePath]:
    """The paths of all fields, through nested models but not through lists and mappings with free keys."""
    for name, info in fields_of(model).items():
        yield (*path, name)
        bare = strip(info.annotation)[0]
        if is_model(bare):
            yield from field_paths(bare, (*path, name))


def references(value: BaseModel, path: TreePath = ()) -> Iterator[Reference]:
    """All references to components in a validated model, at any depth.

    Does not descend into ``params``: these belong to the component, whose own ``Config`` is searched in turn.
    """
    fields = fields_of(type(value))
    names = {info.alias or name: name for name, info in type(value).model_fields.items()}
    use = fields.get("use")
    flat = field_kind(use) if use is not None and "params" in fields else None
    if flat is not None:
        # A section that is itself a reference, with settings of its own in addition to `use`.
        ref = ComponentRef(use=value.use, params=value.params)  # type: ignore[attr-defined]
        yield Reference(flat, ref, path)
    for key, info in fields.items():
        if flat is None or key not in ("use", "params"):
            yield from _within(getattr(value, names[key]), info.annotation, field_kind(info), (*path, key))


def _within(value: Any, annotation: Any, kind: str | None, path: TreePath) -> Iterator[Reference]:
    bare, marked, _ = strip(annotation)
    kind = kind or marked
    if isinstance(value, ComponentRef):
        kind = kind or _kind_among(bare)
        if kind is not None:
            yield Reference(kind, value, path)
    elif isinstance(value, BaseModel):
        yield from references(value, path)
    elif isinstance(value, str) and kind is not None:
        yield Reference(kind, ComponentRef(use=value), path, bare=True)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _within(item, item_type(_member(bare, dict)), None, (*path, str(key)))
    elif isinstance(value, list | tuple):
        inner = _member(bare, type(value))
        args = get_args(inner)
        mixed = get_origin(inner) is tuple and Ellipsis not in args and len(args) == len(value)
        for index, item in enumerate(value):
            yield from _within(item, args[index] if mixed else item_type(inner), None, (*path, index))


def _member(annotation: Any, container: type) -> Any:
    """The member of a union that is such a container; any other type unchanged."""
    if get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            bare = strip(member)[0]
            if (get_origin(bare) or bare) is container:
                return bare
    return annotation


def _kind_among(annotation: Any) -> str | None:
    """The kind with which a member of a union is marked, or None."""
    if get_origin(annotation) in (Union, types.UnionType):
        return next((kind for m in get_args(annotation) if (kind := strip(m)[1]) is not None), None)
    return None
