"""The objective: what a fused image is evaluated by, while a loss is being learned."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from fusekit.interfaces.component import Component
from fusekit.interfaces.strategy import TrainingContext
from fusekit.interfaces.types import Batch, LossTerms


class Objective(Component, ABC):
    """Evaluates fused images through a part of the model: the evaluator.

    A strategy that learns its fusion loss asks it how good the outcome is. The evaluator may be a reconstruction
    head (how well do the sources come back?), a task network (how well is the task solved?), or anything else
    that stands in the model. The parts that it needs are declared by ``Config.needs()``.
    """

    @abstractmethod
    def evaluator(self, training: TrainingContext) -> nn.Module:
        """The part of the model that evaluates; strategies train it beside the fusion."""

    @abstractmethod
    def loss(self, evaluator: nn.Module, fused: Tensor, batch: Batch) -> LossTerms:
        """How badly the fused images serve; the evaluator's own loss too.

        Args:
            evaluator: What `evaluator` returned.
            fused: Fused images of the batch, (B, C, H, W) in [0, 1].
            batch: Their sources, and labels where there are any.

        Returns:
            A total that is differentiable with respect to `fused` and to the evaluator's weights.

        Raises:
            ValueError: The batch lacks something, such as labels.
        """
