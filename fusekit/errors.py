"""Errors that a user can act on: each states what is wrong, where, why, and what to do.

The command line prints them without a traceback (``--debug`` shows it) and ends with `exit_code`.
"""

from __future__ import annotations


class FusekitError(Exception):
    """Base class of every error that fusekit raises deliberately.

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
    """A failure at run time (NaN in training, a full disk, a checkpoint that does not fit)."""


class UsageError(FusekitError):
    """An invalid request on the command line or in an API call."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe is not valid; the message lists every problem of the validation phase, one per line."""


class PluginError(FusekitError):
    """A plugin is missing, broken or incompatible, or its component violates the contract."""

    exit_code = 3


class DataError(FusekitError):
    """Data is missing, unreadable, or not as the dataset declares it."""

    exit_code = 4
