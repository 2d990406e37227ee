"""The data root of a recipe, and the check that its data is present. Imports no torch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fusekit.errors import DataError
from fusekit.recipe.components import Component, call_config
from fusekit.recipe.problems import Problem, RecipeProblems
from fusekit.recipe.tree import Node

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_PATH = ("data", "root")


@dataclass(frozen=True)
class DataRoot:
    """How the data root of a recipe was set, after reading environment variables.

    Attributes:
        explicit: Whether the user set it: with ``-o``, or through a variable that is set.
        unset: A variable without a value and without a default, or None.
    """

    explicit: bool = False
    unset: str | None = None


def expand_root(tree: Node, environment: Mapping[str, str] | None = None) -> tuple[Node, DataRoot]:
    """Replaces ``${NAME}`` and ``${NAME:-default}`` in ``data.root``; an empty variable counts as unset.

    Returns:
        The tree with the expanded root, or without a root if a variable is unset; and how the root was set.

    Raises:
        RecipeProblems: A ``${`` does not have one of these forms.
    """
    node = tree.find(_PATH)
    if node is None or not isinstance(node.value, str):
        return tree, DataRoot()
    environment = os.environ if environment is None else environment
    explicit, unset = node.at.override, None
    expanded, end = "", 0
    for match in _VARIABLE.finditer(node.value):
        value = environment.get(match[1]) or None
        explicit = explicit or value is not None
        if value is None and match[2] is None:
            unset = unset or match[1]
        expanded += node.value[end : match.start()] + (value or match[2] or "")
        end = match.end()
    if "${" in _VARIABLE.sub("", node.value):
        message = f"{node.value!r} contains a `${{` that is neither ${{NAME}} nor ${{NAME:-default}}"
        raise RecipeProblems([Problem("data.root", message, str(node.at))])
    root = node.with_value(expanded + node.value[end:] if unset is None else None)
    data = tree.value["data"]
    data = data.with_value({**data.value, "root": root})
    # The default of an unset variable is a choice of the recipe, not of the user.
    given = DataRoot(node.at.override or (explicit and unset is None), unset)
    return tree.with_value({**tree.value, "data": data}), given


def missing_data(dataset: Component, root: str | None, given: DataRoot) -> str | None:
    """A sentence that describes the missing data, or None if all data is present.

    Raises:
        PluginError: The dataset's own check failed.
        DataError: A folder cannot be read.
    """
    path = root_path(root)
    if dataset.config is None:
        return None
    try:
        sentence: str | None = call_config(dataset, "missing", path)
    except Exception as error:
        if isinstance(error.__cause__, OSError):
            raise DataError(f"{path}: {error.__cause__.strerror}") from error
        raise
    if sentence is not None and given.unset is not None:
        return f"the environment variable {given.unset}, from which data.root is read, is not set"
    return sentence


def root_path(root: str | None) -> Path | None:
    """The data root as a path, relative to the working directory; ``~`` is the home folder."""
    return Path(root).expanduser() if root else None
