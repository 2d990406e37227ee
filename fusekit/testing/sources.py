"""Common base of the contracts of backbones and loss proposers, which take sources by role."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from fusekit.errors import UsageError
from fusekit.testing.module import ModuleContract
from fusekit.testing.samples import images


class SourcesContract(ModuleContract):
    """Checks of a network that takes sources by role."""

    def of_any_count(self) -> Iterator[tuple[nn.Module, tuple[Tensor, ...]]]:
        """The component built for one to four sources, if it supports that number, and the sources."""
        fixed = getattr(self.component(), "source_count", None)
        for count in range(1, 5):
            if fixed is not None and count != fixed:
                continue
            try:
                module = self.make(roles=tuple("abcd"[:count]))
            except UsageError:  # refused with an error message: the parameters do not fit this number of sources
                continue
            yield module.eval(), images(count, 2, 33, 47, self.channels)
