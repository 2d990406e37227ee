"""Helpers for messages: suggestions for misspelt words, and shortened lists. Imports no torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that is most similar to a misspelt one, or None if none is similar enough."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return near[0] if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest known word, or an empty string."""
    near = nearest(word, known)
    return f"; did you mean {near!r}?" if near is not None else ""


def some(names: Sequence[str], shown: int = 10) -> str:
    """A list of names, shortened to the first ones and the number of the others."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
