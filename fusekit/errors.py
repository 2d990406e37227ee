"""Errors that a user can act on: each says what is wrong, where, why, and what to do.

The command line prints them without a traceback (``--debug`` shows it) and ends with `exit_code`.
"""

from __future__ import annotations


class FusekitError(Exception):
    """Base of every error that fusekit raises on purpose.

    Args:
        message: What is wrong and where, in one sentence.
        hint: What to do about it; printed on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class RunError(FusekitError):
    """Something failed while it ran (NaN in training, a full disk, a checkpoint that does not fit)."""


class UsageError(FusekitError):
    """The command line or an API call asks for something that cannot be."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe is wrong; carries every problem of the phase that found it, one a line."""


class PluginError(FusekitError):
    """A plugin is missing, broken, incompatible, or its component breaks the contract."""

    exit_code = 3


class DataError(FusekitError):
    """Data is missing, unreadable, or not what the dataset says it is."""

    exit_code = 4
