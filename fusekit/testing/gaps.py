"""Known gaps: checks that a component is known to fail, with reasons."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from unittest import SkipTest


def respects_known_gaps(check: Callable[[Any], None]) -> Callable[[Any], None]:
    """Decorator of a check: a known gap is skipped with its reason, and fails once the component passes."""

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
        raise AssertionError(f"known_gaps lists {check.__name__} ({reason}), but the check passes: remove the entry")

    checked.respects_known_gaps = True  # type: ignore[attr-defined]
    return checked
