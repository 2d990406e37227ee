"""Sums over a whole image, measured once on windows of it and then given to every tile.

A network's later sums depend on its earlier ones: attention in the second block sees what the first has made. So they
are measured one after the other. The first is summed over all windows; with it in place the second, and so on, each
time only as far into the network as is needed. Windows that cover the image so give the sums of the untiled network,
but for rounding; windows spread over it an estimate of them (docs/decisions/0014-tiles.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from fusekit.fusing.tiling.boxes import Box
from fusekit.interfaces.whole_image import Sums, sums_from


class SharedSums:
    """The sums that a network takes over the pixels of one image, in the order in which it asks for them."""

    def __init__(self) -> None:
        self.known: list[Sums] = []
        self._asked = 0
        self._core: Box | None = None  # the box that is being summed over, and the window that it is computed in
        self._window: Box | None = None

    def measure(self, forward: Callable[[Box], object], parts: Sequence[tuple[Box, Box]], pixels: int) -> None:
        """Finds all sums of a network over an image.

        Args:
            forward: Runs the network on a window of the image, as a batch of one.
            parts: Boxes to sum over, which do not overlap, each with the window that it is computed in: the box and
                around it what its pixels depend on.
            pixels: Number of pixels of the image. Sums of boxes that do not cover it are scaled to it.
        """
        self.known = []
        share = pixels / sum(core.area for core, _ in parts)
        while True:
            totals: list[Tensor] = []
            for core, window in parts:
                found = self._next(forward, core, window)
                if found is None and not totals:
                    return
                if found is None:
                    raise RuntimeError("the network asks for more sums over the image in some parts than in others")
                kinds = [one.dtype for one in found]
                # In float64, of many windows; on the host, for not every accelerator has it.
                exact = [one.cpu().double() for one in found]
                totals = [a + b for a, b in zip(totals, exact, strict=True)] if totals else exact
            self.known.append(tuple((total * share).to(kind) for total, kind in zip(totals, kinds, strict=True)))

    @contextmanager
    def instead(self) -> Iterator[None]:
        """Inside, one run of the network gets the measured sums instead of its own."""
        self._asked = 0
        with sums_from(self):
            yield

    def sums(self, of: Callable[..., Sums], maps: tuple[Tensor, ...]) -> Sums:
        """The next sums of this run: the known ones, or of a run that measures, the first unknown ones."""
        number = self._asked
        self._asked += 1
        if number < len(self.known):
            return tuple(total.to(maps[0].device) for total in self.known[number])
        if self._core is None or self._window is None:
            raise RuntimeError("the network asks for more sums over the image than it did when they were measured")
        raise _Found(of(*(_same_part(m, self._core, self._window) for m in maps)))

    def _next(self, forward: Callable[[Box], object], core: Box, window: Box) -> Sums | None:
        """The first unknown sums, over one box; None if the network needs no more."""
        self._core, self._window = core, window
        try:
            with self.instead():
                forward(window)
        except _Found as found:
            return tuple(one.detach() for one in found.sums)
        finally:
            self._core = self._window = None
        return None


class _Found(Exception):
    """Ends a run at the sums that it was for: what comes after would be computed in vain."""

    def __init__(self, sums: Sums) -> None:
        super().__init__()
        self.sums = sums


def _same_part(features: Tensor, core: Box, window: Box) -> Tensor:
    """The part of a window's features, at whatever scale they are, that belongs to a box in the window."""
    down, across = features.shape[-2] / window.height, features.shape[-1] / window.width
    box = core.inside(window)
    scaled = Box(round(box.top * down), round(box.left * across), round(box.bottom * down), round(box.right * across))
    return scaled.of(features)
