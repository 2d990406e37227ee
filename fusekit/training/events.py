"""What a trainer tells of its work while it works; who listens, and how, is decided above."""

from __future__ import annotations

from typing import Any, Literal, Protocol

Event = Literal["phase_started", "step_finished", "validated"]


class Tell(Protocol):
    """Hears an event and its facts, which are those of the hook of that name (`fusekit.plugin.hookspecs`)."""

    def __call__(self, event: Event, /, **facts: Any) -> None: ...


def nobody(event: Event, /, **facts: Any) -> None:
    """Nobody listens."""
