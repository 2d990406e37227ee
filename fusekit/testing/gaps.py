"""Known gaps: checks that a component is known to fail, and why."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from unittest import SkipTest


def respects_known_gaps(check: Callable[[Any], None]) -> Callable[[Any], None]:
    """A check that is skipped with its reason where it is a known gap, and fails once the gap is closed."""

    @wraps(check)
    def checked(contract: Any) -> None:
        reason = contract.known_gaps.get(check.__name__)
        if reason is None:
            check(contract)
            return
        try:
            check(contract)
        except SkipTest:
            raise
        except Exception as error:
            raise SkipTest(f"known gap: {reason}") from error
        raise AssertionError(f"known_gaps excuses {check.__name__} ({reason}), but it passes: take it out")

    checked.respects_known_gaps = True  # type: ignore[attr-defined]
    return checked
