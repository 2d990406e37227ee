"""What is wrong with a recipe, one line each. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fusekit.errors import RecipeError

PathKey = str | int
TreePath = tuple[PathKey, ...]
"""Where a value stands inside a recipe: keys, and indices of lists."""


def dotted(path: Iterable[PathKey]) -> str:
    """A path as users write it after ``-o``: ``pretrain.segmenter.epochs``, ``evaluate.baselines.0.use``."""
    return ".".join(str(key) for key in path)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: Where in the recipe, dotted; empty where it is about the whole file.
        message: What is wrong, and what is wanted instead.
        where: ``file:line:column``, or which ``-o``; empty for recipes made from plain data.
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
    """Everything that one phase of reading a recipe found wrong.

    Attributes:
        problems: The problems in the order of the recipe; the message has one line for each.
    """

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems), hint=hint)
