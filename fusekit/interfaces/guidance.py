"""Guidance: what a task network says about images, for backbones and proposers that listen."""

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
    """How much the regions of each source contribute to what the task network says.

    A region is a set of an image's pixels: those of one class where the network segments, a box where it detects, a
    cell of its features where it classifies. A contribution is spread evenly over its region, so a score per (image,
    source, region) and the map of regions say everything.

    Attributes:
        scores: (B, N, K), ≥ 0, for K regions; means over pixels.
        regions: Region of every pixel, (B, H, W) int64; values outside 0..K-1 belong to no region.
        names: What the K regions are called; None where they are the classes of the task.
    """

    scores: Tensor
    regions: Tensor
    names: tuple[str, ...] | None = None

    def total(self) -> Tensor:
        """A_i = Σ_c attribution of region c, (B, N, H, W); zero outside every region."""
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
    """Answers of a task network about the sources of one batch; each is computed once, whoever asks.

    Asking leaves the task network as it was: mode, running statistics, gradients. Answers are detached:
    nothing is differentiated through them.
    """

    @abstractmethod
    def attribution(self) -> RegionAttribution:
        """Region attribution of each source of the batch."""

    @abstractmethod
    def task_gradient(self, image: Tensor) -> Tensor:
        """Gradient of the task's score on an image of the batch's scenes with respect to that image.

        What the score is, the guidance says. An image's gradient does not depend on the rest of its batch, and of a
        score that is a mean over pixels each pixel's share falls as their number grows.

        Args:
            image: (B, C, H, W) in [0, 1].

        Returns:
            (B, C, H, W).
        """


class GuidanceMaker(Component, ABC):
    """Knows how to ask a task network: makes the guidance of every batch.

    It has no weights of its own. Its ``Config`` says in `ComponentConfig.needs` which task network it takes, such as
    ``{"task:segmentation"}``, so that a recipe with another one is refused before anything is built.
    """

    @abstractmethod
    def of(self, task: TaskNetwork | None, sources: Sources, labels: Tensor | None = None) -> Guidance:
        """The guidance of one batch; nothing need be computed before it is asked.

        Args:
            task: The task network of the model, to be left as it is found (see `undisturbed`); None where the model
                has none, which only a guidance that needs none hears.
            sources: N images, each (B, C, H, W) in [0, 1].
            labels: Label maps (B, H, W) int64 while training on labelled data, else None.

        Raises:
            UsageError: It does not take this task network.
        """
