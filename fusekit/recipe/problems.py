"""Problems of a recipe, one line each. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fusekit.errors import RecipeError

PathKey = str | int
TreePath = tuple[PathKey, ...]
"""Path of a value inside a recipe: keys, and indices of lists."""


def dotted(path: Iterable[PathKey]) -> str:
    """A path in the syntax of ``-o``: ``pretrain.segmenter.epochs``, ``evaluate.baselines.0.use``."""
    return ".".join(str(key) for key in path)


@dataclass(frozen=True)
class Problem:
    """One problem of a recipe.

    Attributes:
        path: Path in the recipe, dotted; empty if it concerns the whole file.
        message: What is wrong, and what is expected instead.
        where: ``file:line:column``, or the ``-o`` option; empty for recipes made from plain data.
        suggestion: The word that was probably meant.
    """

    path: str
    message: str
    where: str = ""
    suggestion: str | None = None

    def __str__(self) -> str:
        place = " ".join(part for part in (self.where, self.path) if part)
        meant = f"; did you mean {self.suggestion!r}?" if self.suggestion else ""
        return f"{place}: {self.message}{meant}" if place else f"{self.message}{meant}"


class RecipeProblems(RecipeError):
    """All problems that one phase of reading a recipe found.

    Attributes:
        problems: The problems in the order of the recipe; the message has one line for each.
    """

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems), hint=hint)
