"""The loss term: one named part of the fusion loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from fusekit.interfaces.component import Component
from fusekit.interfaces.config import LossTermConfig
from fusekit.interfaces.types import LossProposal, Sources


class LossTerm(Component, ABC):
    """One term of a fusion loss, without trainable parameters.

    A recipe lists the terms of a strategy's fusion loss with their weights (``loss``), and
    `fusekit.training.fusion_loss.FusionLoss` adds them up.

    Args:
        config: Its options; the weight is one of them, and is applied by `FusionLoss`.
        context: What the wiring knows.
    """

    Config: ClassVar[type[LossTermConfig]] = LossTermConfig
    config: LossTermConfig

    @abstractmethod
    def __call__(self, image: Tensor, sources: Sources, proposal: LossProposal | None) -> Tensor:
        """The unweighted term of a batch.

        Args:
            image: Fused image, (B, 1, H, W) in [0, 1].
            sources: N sources, each (B, 1, H, W) in [0, 1], ordered by role.
            proposal: Weights (B, N, H, W) of the model's loss proposer; None in a model without one, which the
                Config of a term that uses it excludes (``needs``).

        Returns:
            A scalar, differentiable with respect to `image` and, where the term uses them, to the weights. It is a
            mean over the batch, so that it does not grow with the batch size.
        """
