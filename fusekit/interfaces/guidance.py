"""Guidance: a task network's attribution and gradients for images, for backbones and proposers that use them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from fusekit.interfaces.component import Component
from fusekit.interfaces.task import TaskNetwork
from fusekit.interfaces.types import Sources


@dataclass(frozen=True)
class RegionAttribution:
    """Contribution of the regions of each source to the output of the task network.

    A region is a set of an image's pixels: the pixels of one class for a segmentation network, a box for a detector,
    a cell of the feature map for a classifier. A contribution is spread evenly over its region, so the attribution is
    fully described by a score per (image, source, region) and the map of regions.

    Attributes:
        scores: (B, N, K), ≥ 0, for K regions; means over pixels.
        regions: Region of every pixel, (B, H, W) int64; values outside 0..K-1 belong to no region.
        names: Names of the K regions; None if they are the classes of the task.
    """

    scores: Tensor
    regions: Tensor
    names: tuple[str, ...] | None = None

    def total(self) -> Tensor:
        """Attribution map A_i = Σ_c attribution of region c, (B, N, H, W); zero outside every region."""
        batch, count, classes = self.scores.shape
        inside = (self.regions >= 0) & (self.regions < classes)
        index = self.regions.clamp(0, classes - 1).flatten(1)
        index = index[:, None].expand(batch, count, index.shape[1])
        values = torch.gather(self.scores, 2, index).view(batch, count, *self.regions.shape[1:])
        return values * inside[:, None]

    def per_class(self) -> Tensor:
        """Attribution map of every region, (B, N, K, H, W)."""
        classes = self.scores.shape[2]
        indices = torch.arange(classes, device=self.regions.device)
        masks = self.regions[:, None] == indices[None, :, None, None]
        return self.scores[..., None, None] * masks[:, None]


class Guidance(ABC):
    """Attribution and gradients of a task network for the sources of one batch; each attribution is computed once.

    Computing them leaves the task network unchanged: mode, running statistics, gradients. Results are detached:
    nothing is differentiated through them.
    """

    @abstractmethod
    def attribution(self) -> RegionAttribution:
        """Region attribution of each source of the batch."""

    @abstractmethod
    def task_gradient(self, image: Tensor) -> Tensor:
        """Gradient of the task's score on an image of the batch's scenes with respect to that image.

        The guidance defines the score. An image's gradient does not depend on the rest of its batch. If the score is
        a mean over pixels, the contribution of each pixel decreases as their number grows.

        Args:
            image: (B, C, H, W) in [0, 1].

        Returns:
            (B, C, H, W).
        """


class GuidanceMaker(Component, ABC):
    """Makes the guidance of every batch from a task network.

    It has no parameters of its own. Its ``Config`` declares in `ComponentConfig.needs` which task network it takes,
    such as ``{"task:segmentation"}``, so that a recipe with another one is refused before anything is built.
    """

    @abstractmethod
    def of(self, task: TaskNetwork | None, sources: Sources, labels: Tensor | None = None) -> Guidance:
        """The guidance of one batch; it may compute its results on first use.

        Args:
            task: The task network of the model, which must be left unchanged (see `undisturbed`). None if the model
                has none; only a guidance component that needs no task network is called with None.
            sources: N images, each (B, C, H, W) in [0, 1].
            labels: Label maps (B, H, W) int64 while training on labelled data, else None.

        Raises:
            UsageError: This guidance does not support the task network.
        """
