"""The reconstruction head: recovers the sources from the fused image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from fusekit.interfaces.config import ComponentConfig
from fusekit.interfaces.context import BuildContext
from fusekit.interfaces.types import Sources


class ReconstructionHead(nn.Module, ABC):
    """Recovers every source from the fused image; its error shows which information the fusion has lost."""

    Config: ClassVar[type[ComponentConfig]] = ComponentConfig

    def __init__(self, config: ComponentConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, fused: Tensor) -> Sources:
        """Reconstructs the sources.

        Args:
            fused: (B, C, H, W) in [0, 1].

        Returns:
            One image per source role, each (B, C, H, W) in [0, 1], in the order of the roles.
        """
