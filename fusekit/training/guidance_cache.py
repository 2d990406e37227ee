"""Cache of guidance: within a step, the guidance of each batch is created once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fusekit.interfaces.guidance import Guidance
from fusekit.interfaces.types import Batch


class GuidanceCache:
    """Caches the guidance of a step's batches, by the identity of the batch, until the step ends.

    A guidance keeps its results, so an attribution is that of the task network at the time of the first request in
    the step, even if the strategy updates the network before the step ends. Outside a step nothing is cached, because
    it is not known when a result becomes outdated.

    Args:
        make: Creates the guidance of a batch.
    """

    def __init__(self, make: Callable[[Batch], Guidance | None]) -> None:
        self._make = make
        self._cached: dict[int, tuple[Batch, Guidance | None]] | None = None

    @contextmanager
    def step(self) -> Iterator[None]:
        """Marks the ``with`` block as one training step."""
        self._cached = {}
        try:
            yield
        finally:
            self._cached = None

    def __call__(self, batch: Batch) -> Guidance | None:
        """Guidance of a batch; the cached one if the step has already requested it."""
        if self._cached is None:
            return self._make(batch)
        if id(batch) not in self._cached:
            self._cached[id(batch)] = batch, self._make(batch)  # the reference to the batch keeps its id unique
        return self._cached[id(batch)][1]
