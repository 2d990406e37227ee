"""Global statistics: sums over all pixels of an image, also for networks that process it in tiles.

Channel attention, global pooling and similar layers depend on the whole image. A network that computes such sums
through `image_sums` supports tiling at no cost: outside tiled jobs, `image_sums` just calls the function. A job that
cuts an image into tiles gives each tile the sums of the whole image instead of its own, so that all tiles together
equal the untiled result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

import torch
from torch import Tensor

Sums = tuple[Tensor, ...]
"""Results of sums over pixels, each (B, …)."""


class SumsSource(Protocol):
    """Source of the sums that a tiled job uses in place of a network's own."""

    def sums(self, of: Callable[..., Sums], maps: tuple[Tensor, ...]) -> Sums:
        """The sums that `image_sums` returns to the network."""
        ...


# A context variable, not a module variable: a model may fuse a whole image in one thread and tiles in another.
_source: ContextVar[SumsSource | None] = ContextVar("fusekit_sums_source", default=None)


def image_sums(of: Callable[..., Sums], *maps: Tensor) -> Sums:
    """Sums over all pixels of the whole image, even if the network currently processes only a tile of it.

    Calls are identified by their order, so a network must make the same calls for every image. Compiled networks do
    not support tiling: ``torch.compile`` and ``torch.export`` trace the untiled case, which fits whole images only.

    Args:
        of: Computes the sums of the maps: a tuple of tensors (B, …), each a sum over pixels of a per-pixel value, so
            that the sums of the parts of an image add up. To compute means, sum a map of ones as well.
        maps: Each (B, C, h, w), covering exactly the network's input, at its size or at another scale of it.

    Returns:
        ``of(*maps)``; in a tiled job, its value for the whole image.
    """
    if torch.compiler.is_compiling():
        return of(*maps)
    source = _source.get()
    return of(*maps) if source is None else source.sums(of, maps)


def in_parts() -> bool:
    """Whether the network processes a tile, and `image_sums` returns the sums of the whole image instead."""
    return not torch.compiler.is_compiling() and _source.get() is not None


@contextmanager
def sums_from(source: SumsSource) -> Iterator[None]:
    """Context manager: inside, `image_sums` takes the sums from `source`, in this thread (or task) only."""
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)
