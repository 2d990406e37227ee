"""How long jobs tell how far they are."""

from __future__ import annotations

from collections.abc import Callable

Advance = Callable[[int, int, str], None]
"""Shows progress: done, total (0 where nobody knows), a short note."""
