"""The objective: evaluates fused images while a fusion loss is being learned."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from fusekit.interfaces.component import Component
from fusekit.interfaces.strategy import TrainingContext
from fusekit.interfaces.types import Batch, LossTerms


class Objective(Component, ABC):
    """Evaluates fused images through a part of the model: the evaluator.

    A strategy that learns its fusion loss uses it to evaluate the fused images. The evaluator may be a
    reconstruction head (how well are the sources recovered?), a task network (how well is the task solved?), or any
    other part of the model. ``Config.needs()`` declares the parts that the objective needs.
    """

    @abstractmethod
    def evaluator(self, training: TrainingContext) -> nn.Module:
        """The part of the model that evaluates; strategies train it together with the fusion."""

    @abstractmethod
    def loss(self, evaluator: nn.Module, fused: Tensor, batch: Batch) -> LossTerms:
        """Loss of the evaluator on the fused images; it is also the loss that trains the evaluator.

        Args:
            evaluator: The module that `evaluator` returned.
            fused: Fused images of the batch, (B, C, H, W) in [0, 1].
            batch: Their sources, and labels if the data has them.

        Returns:
            A total that is differentiable with respect to `fused` and to the evaluator's parameters.

        Raises:
            ValueError: The batch lacks something, such as labels.
        """
