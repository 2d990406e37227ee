"""Composes one recipe from several files: ``extends``, overrides, ``null``. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fusekit.recipe.fields import ANY, fields_of, is_list, is_mapping, is_model, item_type, strip
from fusekit.recipe.library import find_parent
from fusekit.recipe.overrides import apply_overrides, merge
from fusekit.recipe.problems import Problem, RecipeProblems
from fusekit.recipe.schema import RecipeModel
from fusekit.recipe.tree import Node
from fusekit.recipe.yaml_reader import describe, read_yaml

MAX_PARENTS = 8
_NOT_IN_FALLBACK = ("extends", "schema", "when_missing")


def read_with_parents(path: Path) -> tuple[str, Node]:
    """Reads a recipe and everything that it extends.

    Returns:
        The text of the file itself, and the merged tree, in which each value stores the file that it comes from.

    Raises:
        RecipeProblems: A file cannot be read or parsed, a parent does not exist, or parents are circular or
            nested deeper than `MAX_PARENTS`.
    """
    text, node = read_yaml(path)
    return text, with_parents(node, path)


def with_parents(node: Node, path: Path | None, chain: tuple[Path, ...] = ()) -> Node:
    """Merges a recipe with its parents: it overrides the parents, and later parents override earlier ones.

    Args:
        node: The recipe as written in its file.
        path: Its file; None for plain data, whose parents are searched in the working directory.
        chain: Files that extend this one, outermost first.

    Raises:
        RecipeProblems: As for `read_with_parents`.
    """
    extends = node.child("extends")
    if extends is None or extends.value is None:
        return node.without("extends")
    chain = (*chain, path) if path is not None else chain
    if len(chain) > MAX_PARENTS:
        message = f"more than {MAX_PARENTS} levels of parents: {_chain(chain)}"
        raise RecipeProblems([Problem("extends", message, str(extends.at))])
    names = extends.value if isinstance(extends.value, list) else [extends]
    merged: Node | None = None
    for name in names:
        if not isinstance(name.value, str):
            message = f"must be the name of a recipe or a list of names, not {describe(name.value)}"
            raise RecipeProblems([Problem("extends", message, str(name.at))])
        parent, suggestion = find_parent(name.value, path)
        if parent is None:
            message = f"no recipe {name.value!r} next to this file, and no shipped recipe of that name"
            raise RecipeProblems([Problem("extends", message, str(name.at), suggestion)])
        if any(_same(parent, above) for above in chain):
            message = f"circular parents: {_chain((*chain, parent))}"
            raise RecipeProblems([Problem("extends", message, str(name.at))])
        _, below = read_yaml(parent)
        below = with_parents(below, parent, chain)
        merged = below if merged is None else merge(merged, below)
    return merge(merged, node.without("extends")) if merged is not None else node.without("extends")


def as_written(tree: Node, overrides: Sequence[str]) -> Node:
    """The recipe with the overrides of the command line applied.

    Raises:
        RecipeProblems: An override is not of the form path=value, or its path does not exist.
    """
    return cleaned(apply_overrides(tree, overrides))


def with_fallback(tree: Node, overrides: Sequence[str]) -> Node | None:
    """The recipe with ``when_missing`` applied, for missing data; None if it has no ``when_missing``.

    Overrides take precedence over ``when_missing``, because the user gave them explicitly.

    Raises:
        RecipeProblems: ``when_missing`` contains a key that it cannot change, or the path of an override does not
            exist.
    """
    changes = apply_overrides(tree, overrides).child("when_missing")
    if changes is None or not isinstance(changes.value, dict) or not changes.value:
        return None
    problems = [
        Problem(f"when_missing.{key}", "cannot be changed here", str(node.key_at or node.at))
        for key, node in changes.value.items()
        if key in _NOT_IN_FALLBACK
    ]
    if problems:
        raise RecipeProblems(problems)
    changed = merge(tree.without("when_missing"), changes)
    return cleaned(apply_overrides(changed, overrides, skip="when_missing"))


def cleaned(tree: Node) -> Node:
    """Removes optional sections that are ``null``; with ``null`` a recipe removes what a parent set."""
    return _clean(tree, RecipeModel)


def _clean(node: Node, annotation: Any) -> Node:
    bare = strip(annotation)[0]
    if isinstance(node.value, dict) and is_model(bare):
        fields = fields_of(bare)
        kept = {}
        for key, child in node.value.items():
            info = fields.get(key)
            if info is None:
                kept[key] = child
            elif child.value is None and not info.is_required() and _removable(info.annotation):
                continue
            else:
                kept[key] = _clean(child, info.annotation)
        return node.with_value(kept)
    if isinstance(node.value, dict) and is_mapping(bare) and item_type(bare) is not ANY:
        inner = item_type(bare)
        return node.with_value({k: _clean(v, inner) for k, v in node.value.items() if v.value is not None})
    if isinstance(node.value, list) and is_list(bare):
        return node.with_value([_clean(item, item_type(bare)) for item in node.value])
    return node


def _removable(annotation: Any) -> bool:
    """Whether ``null`` removes a field: sections and optional fields. An empty scalar is more likely a mistake."""
    bare, _, optional = strip(annotation)
    return optional or is_mapping(bare) or (isinstance(bare, type) and issubclass(bare, BaseModel))


def _same(a: Path, b: Path) -> bool:
    return os.path.realpath(a) == os.path.realpath(b)


def _chain(files: Sequence[Path]) -> str:
    return " extends ".join(str(file) for file in files)
