"""The loss proposer: proposes, per pixel, which source the fused image should follow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import nn

from fusekit.interfaces.component import Component
from fusekit.interfaces.guidance import Guidance
from fusekit.interfaces.types import LossProposal, Sources


class LossProposer(Component, nn.Module, ABC):
    """Proposes the per-pixel source weights of the fusion loss.

    The weights may be learned (ReFusion), attributed by a task network (UAAFusion) or fixed (mean, maximum).
    Every proposer works with every backbone, because one function,
    `fusekit.training.fusion_loss`, combines the two.

    Attributes:
        uses_guidance: Whether `forward` uses its ``guidance``.
    """

    uses_guidance: ClassVar[bool] = False

    @abstractmethod
    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> LossProposal:
        """Proposes the weights for a batch.

        Args:
            sources: N images, each (B, C, H, W) in [0, 1], ordered by role; never modified.
            guidance: Guidance from the task network; None if the model has no guidance.

        Returns:
            Weights (B, N, H, W), each ≥ 0, summing to 1 over N.
        """
