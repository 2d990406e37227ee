"""Global statistics: sums over a whole image, measured once on windows of it and shared by all tiles.

A network's later sums depend on its earlier ones: attention in the second block depends on the output of the first. So
they are measured one after the other. The first is summed over all windows; once it is known, the second is, and so on,
each time running only as much of the network as is needed. Windows that cover the image give the sums of the untiled
network, except for rounding; windows that sample it give an estimate (docs/decisions/0014-tiles.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from fusekit.fusing.tiling.boxes import Box
from fusekit.interfaces.global_statistics import Sums, sums_from


class SharedSums:
    """The sums that a network computes over the pixels of one image, in the order of its calls."""

    def __init__(self) -> None:
        self.known: list[Sums] = []
        self._calls = 0
        self._core: Box | None = None  # the box that is being summed over, and the window in which it is computed
        self._window: Box | None = None

    def measure(self, forward: Callable[[Box], object], parts: Sequence[tuple[Box, Box]], pixels: int) -> None:
        """Measures all sums of a network over an image.

        Args:
            forward: Runs the network on a window of the image, as a batch of one.
            parts: Boxes to sum over, which do not overlap, each with the window in which it is computed: the box and
                all surrounding pixels on which it depends.
            pixels: Number of pixels of the image. Sums over boxes that do not cover the image are scaled to it.
        """
        self.known = []
        share = pixels / sum(core.area for core, _ in parts)
        while True:
            totals: list[Tensor] = []
            for core, window in parts:
                sums = self._next(forward, core, window)
                if sums is None and not totals:
                    return
                if sums is None:
                    raise RuntimeError("the network requests more sums over the image in some parts than in others")
                dtypes = [one.dtype for one in sums]
                # Sums over many windows need float64; on the host, because not every accelerator supports it.
                exact = [one.cpu().double() for one in sums]
                totals = [a + b for a, b in zip(totals, exact, strict=True)] if totals else exact
            self.known.append(tuple((total * share).to(dtype) for total, dtype in zip(totals, dtypes, strict=True)))

    @contextmanager
    def substituted(self) -> Iterator[None]:
        """Inside, one run of the network gets the measured sums instead of its own."""
        self._calls = 0
        with sums_from(self):
            yield

    def sums(self, of: Callable[..., Sums], maps: tuple[Tensor, ...]) -> Sums:
        """The next sums of this run, if known; a measuring run ends at the first unknown ones and returns them."""
        number = self._calls
        self._calls += 1
        if number < len(self.known):
            return tuple(total.to(maps[0].device) for total in self.known[number])
        if self._core is None or self._window is None:
            raise RuntimeError("the network requests more sums over the image than when they were measured")
        raise _SumsReached(of(*(_same_part(m, self._core, self._window) for m in maps)))

    def _next(self, forward: Callable[[Box], object], core: Box, window: Box) -> Sums | None:
        """The first unknown sums, over one box; None if the network requests no more."""
        self._core, self._window = core, window
        try:
            with self.substituted():
                forward(window)
        except _SumsReached as reached:
            return tuple(one.detach() for one in reached.sums)
        finally:
            self._core = self._window = None
        return None


class _SumsReached(Exception):
    """Ends a measuring run at the requested sums, since later results would be discarded."""

    def __init__(self, sums: Sums) -> None:
        super().__init__()
        self.sums = sums


def _same_part(features: Tensor, core: Box, window: Box) -> Tensor:
    """The part of a window's features, at any scale, that corresponds to a box in the window."""
    down, across = features.shape[-2] / window.height, features.shape[-1] / window.width
    box = core.inside(window)
    scaled = Box(round(box.top * down), round(box.left * across), round(box.bottom * down), round(box.right * across))
    return scaled.of(features)
