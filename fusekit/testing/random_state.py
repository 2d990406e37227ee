"""Detecting changes of the global random states of torch, NumPy and Python."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from fusekit.testing.expect import expect


@contextmanager
def watched_random_state() -> Iterator[Callable[[str], None]]:
    """Watch the random states of torch, NumPy and `random` inside of the ``with`` block, and restore them after it.

    Yields:
        A function that fails, naming the generator, if a generator was used or seeded so far.
    """
    before = _states()
    # Draw one number from each: otherwise a component that seeds a generator as it did before would not be detected.
    torch.rand(1), np.random.rand(1), random.random()
    start = _states()

    def expect_untouched(when: str) -> None:
        touched = [name for name, state in _states().items() if not _same(state, start[name])]
        expect(
            not touched,
            f"{when}: expected an unchanged global random state, found that {', '.join(touched)} was drawn from or "
            "seeded; use a separate generator",
        )

    try:
        yield expect_untouched
    finally:
        torch.set_rng_state(before["torch"])
        np.random.set_state(before["numpy.random"])
        random.setstate(before["random"])


def _states() -> dict[str, Any]:
    return {"torch": torch.get_rng_state(), "numpy.random": np.random.get_state(), "random": random.getstate()}


def _same(one: Any, other: Any) -> bool:
    """Whether two states are equal; NumPy's is a tuple that contains an array."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(np.all(one == other))
