"""Events of which a trainer notifies its caller; the caller decides how they are handled."""

from __future__ import annotations

from typing import Any, Literal, Protocol

Event = Literal["phase_started", "step_finished", "validated"]


class Notify(Protocol):
    """Callback for an event; its arguments are those of the hook of that name (`fusekit.plugin.hookspecs`)."""

    def __call__(self, event: Event, /, **facts: Any) -> None: ...


def ignore_event(event: Event, /, **facts: Any) -> None:
    """Callback that ignores all events."""
