"""The reconstruction head: recovers the sources from the fused image."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from fusekit.interfaces.component import Component
from fusekit.interfaces.types import Sources


class ReconstructionHead(Component, nn.Module, ABC):
    """Recovers every source from the fused image; its error shows which information the fusion has lost."""

    @abstractmethod
    def forward(self, fused: Tensor) -> Sources:
        """Reconstructs the sources.

        Args:
            fused: (B, C, H, W) in [0, 1].

        Returns:
            One image per source role, each (B, C, H, W) in [0, 1], in the order of the roles.
        """
