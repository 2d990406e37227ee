"""Intersection over union of a segmentation, from one confusion matrix over all images."""

from __future__ import annotations

import torch
from torch import Tensor


class Confusion:
    """Counts of (label, prediction) over a set of images.

    Args:
        classes: Number of classes K.
        ignored: Label values that are not counted.
    """

    def __init__(self, classes: int, ignored: frozenset[int] = frozenset()) -> None:
        self.classes = classes
        self.ignored = ignored
        self.counts = torch.zeros(classes, classes, dtype=torch.int64)

    def add(self, prediction: Tensor, label: Tensor) -> None:
        """Adds an image's label maps, both (H, W) int64."""
        counted = (label >= 0) & (label < self.classes)
        for value in self.ignored:
            counted &= label != value
        index = label[counted] * self.classes + prediction[counted]
        self.counts += torch.bincount(index, minlength=self.classes**2).view(self.classes, -1)

    def iou(self) -> Tensor:
        """IoU of every class, (K,) float64; NaN for classes in neither label nor prediction.

        Ignored classes are NaN too.
        """
        hits = self.counts.diagonal().double()
        union = self.counts.sum(dim=0) + self.counts.sum(dim=1) - self.counts.diagonal()
        iou = torch.where(union > 0, hits / union.clamp_min(1), torch.nan)
        for value in self.ignored:
            if 0 <= value < self.classes:
                iou[value] = torch.nan
        return iou

    def mean_iou(self) -> float:
        """Mean over the classes whose IoU is not NaN."""
        return float(self.iou().nanmean())
