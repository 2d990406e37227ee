"""The task network: solves the recognition task for which images are fused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from fusekit.interfaces.component import Component
from fusekit.interfaces.config import ComponentConfig
from fusekit.interfaces.context import BuildContext, ClassTable
from fusekit.interfaces.types import Batch, Detections


class TaskNetwork(Component, nn.Module, ABC):
    """A network that solves a task on one image; a segmentation network is one kind of it.

    It takes images of one or three channels in [0, 1] at any H, W ≥ 16, and does its own normalisation, channel
    repetition and padding. Building it never downloads anything. A network that does not assign a class to every pixel
    declares its task in its ``Config`` (`ComponentConfig.solves`).

    Attributes:
        second_order: Whether its output can be differentiated twice with respect to the image. Strategies
            that differentiate through a differentiable update step refuse a network where this is False.
        annotation: What `loss` takes as its target: ``labels``, the label maps of a batch, or ``boxes``.
    """

    second_order: bool = False
    annotation: Literal["labels", "boxes"] = "labels"

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Raw output of the network.

        Args:
            image: (B, 1 or 3, H, W) in [0, 1].

        Returns:
            Logits; for a segmentation network (B, K, H, W).
        """

    @abstractmethod
    def loss(self, logits: Tensor, target: Any) -> Tensor:
        """The task's loss of `forward`'s output against the target, a scalar.

        Args:
            logits: `forward`'s output.
            target: What `targets` returns: label maps (B, H, W) int64 of the data, from which the network derives its
                own target, or the boxes of each image.
        """

    @abstractmethod
    def predict(self, logits: Tensor) -> Any:
        """The task's prediction, from `forward`'s output."""

    def targets(self, batch: Batch) -> Any:
        """The annotations of a batch that `loss` takes, those that `annotation` names.

        Raises:
            ValueError: The data has no such annotations.
        """
        if getattr(batch, self.annotation) is None:
            raise ValueError(f"{type(self).__name__} needs {self.annotation}, but the dataset has none")
        return getattr(batch, self.annotation)


class SegmentationNetwork(TaskNetwork):
    """A task network that assigns a class to every pixel (semantic segmentation).

    Attributes:
        classes: The class table; K classes.
        ignored: Label values that are ignored in the loss and in the scores.
    """

    classes: ClassTable
    ignored: frozenset[int]

    def __init__(self, config: ComponentConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        if self.context.classes is None:
            raise ValueError("a segmentation network needs a class table: the dataset has no labels")
        self.classes = self.context.classes
        self.ignored = frozenset({self.classes.ignore_index})

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean cross entropy over the pixels whose label is not ignored; zero if there are none.

        Args:
            logits: (B, K, H, W).
            target: (B, H, W) int64 label map.
        """
        void = self.classes.ignore_index
        if len(self.ignored) > 1 or void not in self.ignored:
            masked = target.clone()
            for value in self.ignored:
                masked[target == value] = void
            target = masked
        if not bool((target != void).any()):
            return logits.sum() * 0.0
        return F.cross_entropy(logits, target, ignore_index=void)

    def predict(self, logits: Tensor) -> Tensor:
        """Most likely class of every pixel, (B, H, W) int64."""
        return logits.argmax(dim=1)


class DetectionNetwork(TaskNetwork):
    """A task network that finds objects: a class, a box and a score for each. Its Config returns it in `solves`.

    Its `loss` takes a tuple with the `Boxes` of each image. Ignored boxes affect it neither as objects nor as
    background; without any object it is finite.

    Attributes:
        classes: The class table; K classes.
    """

    annotation = "boxes"
    classes: ClassTable

    def __init__(self, config: ComponentConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        if self.context.classes is None:
            raise ValueError("a detector needs a class table: the dataset has no boxes")
        self.classes = self.context.classes

    @abstractmethod
    def predict(self, logits: Tensor) -> tuple[Detections, ...]:
        """The objects found in each image; their boxes can extend beyond its borders."""
