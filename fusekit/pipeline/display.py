"""Progress output of long jobs: a live progress bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fusekit.progress import Advance

_SECONDS_BETWEEN_LINES = 10.0


class Display:
    """Messages and progress of a job.

    Args:
        console: Output console; stderr by default, so that results on stdout can be piped.
        quiet: Print only warnings.
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or Console(stderr=True)
        self.quiet = quiet

    def info(self, text: str) -> None:
        """Prints a line of information."""
        if not self.quiet:
            self.console.print(escape(text), highlight=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Prints a warning, even if `quiet`."""
        self.console.print(f"[bold yellow]{escape(text)}[/]", highlight=False, soft_wrap=True)

    @contextmanager
    def progress(self, title: str) -> Iterator[Advance]:
        """A progress bar for the duration of a ``with`` block."""
        if self.quiet:
            yield lambda done, total, note: None
        elif self.console.is_terminal:
            with self._bar() as bar:
                task = bar.add_task(title, total=None, note="")
                yield lambda done, total, note: bar.update(task, completed=done, total=total or None, note=note)
        else:
            yield self._lines(title)

    def _bar(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=self.console,
        )

    def _lines(self, title: str) -> Advance:
        last = 0.0

        def advance(done: int, total: int, note: str) -> None:
            nonlocal last
            now = time.monotonic()
            if (total and done >= total) or now - last >= _SECONDS_BETWEEN_LINES:
                last = now
                self.info(f"  {title}: {done}/{total or '?'}  {note}".rstrip())

        return advance


def format_losses(losses: Mapping[str, float]) -> str:
    """``total 0.0213  intensity 0.0101``."""
    return "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
