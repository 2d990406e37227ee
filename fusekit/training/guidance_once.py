"""Guidance once a batch: whoever asks within a step hears the same answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fusekit.interfaces.guidance import Guidance
from fusekit.interfaces.types import Batch


class GuidanceOnce:
    """Remembers the guidance of a step's batches, each by its object, until the step ends.

    What a guidance has answered it keeps, so an attribution is of the task network as it was when it was first
    asked for in the step, although the strategy may change the network before the step ends. Outside of a step,
    where nobody says when an answer is out of date, nothing is remembered.

    Args:
        make: Guidance of a batch, made anew.
    """

    def __init__(self, make: Callable[[Batch], Guidance | None]) -> None:
        self._make = make
        self._known: dict[int, tuple[Batch, Guidance | None]] | None = None

    @contextmanager
    def step(self) -> Iterator[None]:
        """A step of training is what happens in the ``with`` block."""
        self._known = {}
        try:
            yield
        finally:
            self._known = None

    def __call__(self, batch: Batch) -> Guidance | None:
        """Guidance of a batch; the one of before where the step has asked for it already."""
        if self._known is None:
            return self._make(batch)
        if id(batch) not in self._known:
            self._known[id(batch)] = batch, self._make(batch)  # holding the batch keeps its id its own
        return self._known[id(batch)][1]
