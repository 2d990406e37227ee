"""Overrides from the command line, such as ``-o train.epochs=5``. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fusekit.recipe.fields import ANY, fields_of, is_list, is_mapping, is_model, item_type, strip
from fusekit.recipe.problems import Problem, RecipeProblems, TreePath, dotted
from fusekit.recipe.schema import RecipeModel
from fusekit.recipe.tree import Mark, Node, node_from_plain
from fusekit.recipe.yaml_reader import parse_scalar, parse_yaml
from fusekit.words import nearest

_OF_A_COMPONENT = ("params", "from", "freeze")


def apply_overrides(tree: Node, overrides: Sequence[str], *, skip: str | None = None) -> Node:
    """Applies ``a.b.c=value`` overrides by the same rules by which recipes are merged.

    They are applied in order, except that changes of ``use`` come first: these would otherwise remove parameters
    that were set before.

    Args:
        tree: The recipe.
        overrides: As given after ``-o``.
        skip: A section whose overrides are ignored.

    Raises:
        RecipeProblems: All overrides that do not have this form, or whose path cannot exist in a recipe. Paths
            under ``params`` are checked later, when the component is known.
    """
    problems: list[Problem] = []
    numbered = sorted(enumerate(overrides, start=1), key=lambda item: not _name(item[1]).endswith(".use"))
    for number, text in numbered:
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        mark = Mark(f"-o #{number} ({shown})", override=True)
        _, equals, value = text.partition("=")
        path = _split(_name(text))
        if skip is not None and path[:1] == [skip]:
            continue
        if not equals or not path:
            problems.append(Problem("", "an override has the form path.to.key=value", str(mark)))
            continue
        problem = _unknown_path(tree, path, mark)
        if problem is not None:
            problems.append(problem)
            continue
        try:
            tree = _assign(tree, path, _value(value.strip(), mark), mark)
        except RecipeProblems as error:
            problems += [Problem(dotted(path), p.message, str(mark)) for p in error.problems]
    if problems:
        raise RecipeProblems(sorted(problems, key=lambda p: int(p.where[4:].partition(" ")[0])))
    return tree


def merge(base: Node, over: Node) -> Node:
    """Merges two trees: mappings key by key; for everything else, the value of `over` replaces that of `base`.

    Where ``use`` changes, the inherited ``params``, ``from`` and ``freeze`` are dropped, because they belong to another
    component. The same applies where only `over` names one, as in a ``when_missing`` block whose parent has parameters.
    """
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    entries = dict(base.value)
    old, new = base.child("use"), over.child("use")
    if new is not None and (old is None or old.value != new.value):
        entries = {key: node for key, node in entries.items() if key not in _OF_A_COMPONENT}
    for key, node in over.value.items():
        entries[key] = merge(entries[key], node) if key in entries else node
    return over.with_value(entries)


def _name(text: str) -> str:
    return text.partition("=")[0].strip()


def _split(name: str) -> list[str]:
    parts = name.split(".")
    return parts if all(part.strip() for part in parts) else []


def _value(text: str, mark: Mark) -> Node:
    """Parses a value: a flow collection or quoted text as YAML, anything else as a single plain scalar."""
    if text[:1] in ("[", "{", '"', "'"):
        node = parse_yaml(text, str(mark))
        return node_from_plain(node.plain() if node is not None else None, mark)
    return Node(parse_scalar(text), mark, mark)


def _assign(node: Node | None, path: Sequence[str], value: Node, mark: Mark) -> Node:
    """The tree with a value merged in at a path; missing mappings on the way are created."""
    if not path:
        return merge(node, value) if node is not None else value
    key, rest = path[0], path[1:]
    if node is not None and isinstance(node.value, list):
        index = int(key) if key.isdecimal() else -1
        if not 0 <= index < len(node.value):
            valid = f"0 to {len(node.value) - 1}" if node.value else "it is empty"
            raise RecipeProblems([Problem("", f"{key!r} is not a valid index of this list: {valid}")])
        items = list(node.value)
        items[index] = _assign(items[index], rest, value, mark)
        return node.with_value(items)
    entries = dict(node.value) if node is not None and isinstance(node.value, dict) else {}
    if key == "use" and not rest and "use" in entries and entries["use"].value != value.value:
        entries = {name: entry for name, entry in entries.items() if name not in _OF_A_COMPONENT}
    entries[key] = _assign(entries.get(key), rest, value, mark)
    return node.with_value(entries) if node is not None else Node(entries, mark, mark)


def _unknown_path(tree: Node, path: Sequence[str], mark: Mark) -> Problem | None:
    """Follows a path through the frame of recipes, as far as the frame reaches."""
    annotation: Any = RecipeModel
    node: Node | None = tree
    walked: TreePath = ()
    for depth, key in enumerate(path):
        bare = strip(annotation)[0]
        below = item_type(bare)
        full, last = dotted(path[: depth + 1]), depth == len(path) - 1
        if is_model(bare):
            fields = fields_of(bare)
            if key not in fields:
                near = nearest(key, fields)
                meant = dotted((*walked, near)) if near else None
                known = "" if near else f"; choose from {', '.join(fields)}"
                return Problem(full, f"no such key{known}", str(mark), meant)
            below = fields[key].annotation
        elif is_mapping(bare):
            entries = list(node.value) if node is not None and isinstance(node.value, dict) else []
            # A new entry can be given as a whole; a path into an entry that does not exist is a mistake.
            if below is not ANY and not last and key not in entries:
                near = nearest(key, entries)
                known = "" if near else f"; choose from {', '.join(entries)}" if entries else "; the recipe has none"
                return Problem(full, f"no such entry{known}", str(mark), dotted((*walked, near)) if near else None)
        elif is_list(bare):
            if node is None:
                message = f"the recipe leaves {dotted(walked)} at its default; give the whole list, as [...]"
                return Problem(full, message, str(mark))
        else:
            return Problem(full, f"{dotted(walked)} is a single value and has no keys", str(mark))
        if below is ANY:
            return None
        node = node.child(int(key) if is_list(bare) and key.isdecimal() else key) if node is not None else None
        annotation, walked = below, (*walked, key)
    return None
