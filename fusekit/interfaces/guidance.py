"""Guidance: what a task network says about images, for backbones and proposers that listen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RegionAttribution:
    """How much the regions of each source contribute to recognising their class.

    A region is the set of an image's pixels of one class; its contribution is spread evenly over it, so a
    score per (image, source, class) and the region map say everything.

    Attributes:
        scores: (B, N, K), ≥ 0.
        regions: Class of every pixel, (B, H, W) int64; values outside 0..K-1 belong to no region.
    """

    scores: Tensor
    regions: Tensor

    def total(self) -> Tensor:
        """A_i = Σ_c attribution of class c, (B, N, H, W); zero outside every region."""
        batch, count, classes = self.scores.shape
        inside = (self.regions >= 0) & (self.regions < classes)
        index = self.regions.clamp(0, classes - 1).flatten(1)
        index = index[:, None].expand(batch, count, index.shape[1])
        values = torch.gather(self.scores, 2, index).view(batch, count, *self.regions.shape[1:])
        return values * inside[:, None]

    def per_class(self) -> Tensor:
        """Attribution map of every class, (B, N, K, H, W)."""
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

        The score is the mean of mask · output, with the one-hot label as the mask, or the network's own
        output on the mean of the sources where there are no labels.

        Args:
            image: (B, C, H, W) in [0, 1].

        Returns:
            (B, C, H, W).
        """
