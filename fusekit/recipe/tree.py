"""Tree of plain data that stores where each value was written. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fusekit.recipe.problems import PathKey, Problem, RecipeProblems, TreePath, dotted


@dataclass(frozen=True)
class Mark:
    """Position of a value or key.

    Attributes:
        source: File name as the user gave it, or ``-o #2 (a.b=c)``.
        line: From 1; 0 if the source has no lines.
        column: From 1.
        override: Whether it came from the command line.
    """

    source: str = ""
    line: int = 0
    column: int = 0
    override: bool = False

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


@dataclass(frozen=True)
class Node:
    """A value and its position; never changed in place, so that trees can share branches.

    Attributes:
        value: None, a bool, int, float or str, a dict of nodes by key, or a list of nodes.
        at: Position of the value.
        key_at: Position of its key, for a value of a mapping.
    """

    value: Any
    at: Mark = Mark()
    key_at: Mark | None = None

    def child(self, key: PathKey) -> Node | None:
        """The node under a key or index, or None."""
        if isinstance(self.value, dict) and isinstance(key, str):
            return self.value.get(key)
        if isinstance(self.value, list) and isinstance(key, int) and 0 <= key < len(self.value):
            child: Node = self.value[key]
            return child
        return None

    def find(self, path: TreePath) -> Node | None:
        """The node at a path, or None."""
        node: Node | None = self
        for key in path:
            node = node.child(key) if node is not None else None
        return node

    def where(self, path: TreePath, *, key: bool = False) -> Mark:
        """Position of the value at a path; for a value that was not written, of the nearest enclosing value.

        Args:
            path: Path of the value.
            key: Return the position of its key instead.
        """
        node = self
        for depth, part in enumerate(path):
            below = node.child(part)
            if below is None:
                # For an absent value, the key of the enclosing mapping is more helpful than its first entry.
                return node.key_at if depth and node.key_at is not None else node.at
            node = below
        return node.key_at if key and node.key_at is not None else node.at

    def plain(self) -> Any:
        """The values without their positions."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def with_value(self, value: Any) -> Node:
        """A node with the same position and another value."""
        return Node(value, self.at, self.key_at)

    def without(self, *keys: str) -> Node:
        """A node with the same position and the mapping without some keys."""
        return self.with_value({k: v for k, v in self.value.items() if k not in keys})


def node_from_plain(plain: Any, mark: Mark | None = None, path: TreePath = ()) -> Node:
    """Converts plain data to a tree in which every value has the same position.

    Args:
        plain: Mappings with text keys, sequences, text, numbers, booleans, None.
        mark: The position; unknown when absent.
        path: Path of `plain` in the recipe, for errors.

    Raises:
        RecipeProblems: It contains something that is not plain data.
    """
    mark = mark or Mark()
    if plain is None or isinstance(plain, bool | int | float | str):
        return Node(plain, mark, mark)
    if isinstance(plain, Mapping):
        for key in plain:
            if not isinstance(key, str):
                raise RecipeProblems([Problem(dotted(path), f"key {key!r} is not text", str(mark))])
        return Node({k: node_from_plain(v, mark, (*path, k)) for k, v in plain.items()}, mark, mark)
    if isinstance(plain, Sequence) and not isinstance(plain, bytes | bytearray):
        return Node([node_from_plain(v, mark, (*path, i)) for i, v in enumerate(plain)], mark, mark)
    message = f"a {type(plain).__name__} is not plain data; recipes contain mappings, lists, text, numbers, booleans"
    raise RecipeProblems([Problem(dotted(path), message, str(mark))])
