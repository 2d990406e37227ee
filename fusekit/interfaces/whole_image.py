"""Sums over all pixels of an image, for networks that may be shown the image one window at a time.

Channel attention, global pooling and their like depend on the whole image. A network that takes such sums through
`image_sums` gives them away for nothing: in ordinary use the function is called on the spot. A job that cuts an
image into tiles gives each tile the sums of the whole image instead of its own, and all tiles are one picture again.
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
    """What a tiled job puts in the place of a network's own sums."""

    def sums(self, of: Callable[..., Sums], maps: tuple[Tensor, ...]) -> Sums:
        """What `image_sums` returns to the network."""
        ...


# Of the context and not of the module: a model may fuse a whole image in one thread and tiles in another.
_source: ContextVar[SumsSource | None] = ContextVar("fusekit_sums_source", default=None)


def image_sums(of: Callable[..., Sums], *maps: Tensor) -> Sums:
    """Sums over all pixels of the image, of which the network may see only a part at the moment.

    Calls are told apart by their order, so a network makes the same ones for every image. Nothing is taken of a
    compiled network: ``torch.compile`` and ``torch.export`` trace the ordinary use, which fits whole images only.

    Args:
        of: Makes the sums of the maps: a tuple of tensors (B, …), each of which is a sum over pixels of something
            that a pixel has, so that the parts of an image add up. Whoever wants means sums ones as well.
        maps: Each (B, C, h, w), covering just what the network was given, at its size or another scale of it.

    Returns:
        ``of(*maps)``; in a tiled job what it would be for the whole image.
    """
    if torch.compiler.is_compiling():
        return of(*maps)
    source = _source.get()
    return of(*maps) if source is None else source.sums(of, maps)


def in_parts() -> bool:
    """Whether the network sees a part of an image, and `image_sums` returns something else than it computes."""
    return not torch.compiler.is_compiling() and _source.get() is not None


@contextmanager
def sums_from(source: SumsSource) -> Iterator[None]:
    """Inside, `image_sums` asks `source`; in this thread (or task) only."""
    token = _source.set(source)
    try:
        yield
    finally:
        _source.reset(token)
