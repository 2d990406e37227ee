"""Type of the progress callbacks of long jobs."""

from __future__ import annotations

from collections.abc import Callable

Advance = Callable[[int, int, str], None]
"""Progress callback: number done, total (0 if unknown), a short note."""
