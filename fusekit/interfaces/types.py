"""Frozen data types that components exchange. Images are float32 in [0, 1], of shape (B, C, H, W)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

Sources = tuple[Tensor, ...]
"""N ≥ 1 registered images of one scene, each (B, C, H, W) in [0, 1], ordered by role."""


@dataclass(frozen=True)
class FusionOutput:
    """Result of a fusion backbone.

    Attributes:
        image: The fused image, (B, C, H, W) in [0, 1].
        weights: Per-pixel weight of each source, (B, N, H, W); None if the method has no such weights.
        stages: Intermediate fused images of an iterative method, first to last, each (B, C, H, W).
        aux: Further outputs by name.
    """

    image: Tensor
    weights: Tensor | None = None
    stages: tuple[Tensor, ...] = ()
    aux: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class LossProposal:
    """Per-pixel weight of each source in the fusion loss.

    Attributes:
        weights: (B, N, H, W), each ≥ 0, summing to 1 over the N sources.
    """

    weights: Tensor


@dataclass(frozen=True)
class LossTerms:
    """A loss with its named terms, so that each can be logged, re-weighted and named in errors.

    Attributes:
        total: Scalar to minimise.
        terms: The terms by name, unweighted scalars.
    """

    total: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class UnfoldingState:
    """State of an unfolding network between two stages.

    Attributes:
        fused: Current estimate f_k, (B, C, H, W) in [0, 1].
        previous: Estimate of the previous stage, f_{k-1}; None before the first stage.
        weights: Weight of each source in the data term, (B, N, H, W), summing to 1 over N.
        index: Number of completed stages.
        memory: Tensors that a stage passes to the next, by name (features, recurrent state, attention).
    """

    fused: Tensor
    previous: Tensor | None
    weights: Tensor
    index: int = 0
    memory: Mapping[str, Tensor] = field(default_factory=dict)


_VISIBLE = 0.3
"""Share of a box's area that must be left of it for its object to be still an object to find."""


@dataclass(frozen=True)
class Boxes:
    """The annotated objects of one image.

    Attributes:
        corners: Left, top, right and bottom in pixels, (M, 4) float32 with left < right and top < bottom, inside the
            image. The pixel in row i and column j covers the square from (j, i) to (j + 1, i + 1).
        classes: (M,) int64 indices of the class table. An ignored box can have -1, which stands for every class.
        ignored: (M,) bool: true for boxes that are neither objects to find nor background, such as crowds (COCO's
            ``iscrowd``), difficult or mostly hidden objects, and regions where nothing was annotated.
    """

    corners: Tensor
    classes: Tensor
    ignored: Tensor

    def to(self, device: torch.device | str) -> Boxes:
        """The same boxes on another device."""
        return Boxes(self.corners.to(device), self.classes.to(device), self.ignored.to(device))

    def moved(self, scale: tuple[float, float], shift: tuple[float, float], size: tuple[int, int]) -> Boxes:
        """The boxes after a change x → scale · x + shift of the image, cut to its new borders.

        Boxes outside of the borders are left out; those of which less than 30 % of the area remains are ignored.

        Args:
            scale: Factors of x and y; negative factors mirror.
            shift: Offsets of x and y in pixels.
            size: (height, width) of the changed image.
        """
        moved = self.corners * self.corners.new_tensor(scale * 2) + self.corners.new_tensor(shift * 2)
        low, high = torch.minimum(moved[:, :2], moved[:, 2:]), torch.maximum(moved[:, :2], moved[:, 2:])
        area = (high - low).prod(dim=1)
        low, high = low.clamp_min(0), torch.minimum(high, moved.new_tensor(size[::-1]))
        share = (high - low).clamp_min(0).prod(dim=1) / area
        kept = share > 0
        return Boxes(torch.cat([low, high], 1)[kept], self.classes[kept], (self.ignored | (share < _VISIBLE))[kept])


@dataclass(frozen=True)
class Detections:
    """The objects that a detector finds in one image, the most certain first.

    Attributes:
        corners: Left, top, right and bottom in pixels, (M, 4), as in `Boxes`.
        classes: (M,) int64 indices of the class table.
        scores: (M,) in [0, 1], descending.
    """

    corners: Tensor
    classes: Tensor
    scores: Tensor


@dataclass(frozen=True)
class Batch:
    """A training batch.

    Attributes:
        sources: N images, each (B, C, H, W) in [0, 1], ordered by role.
        labels: Label maps, (B, H, W) int64, or None.
        ids: One identifier per sample, for error messages.
        boxes: The annotated objects of each of the B images, or None.
    """

    sources: Sources
    labels: Tensor | None = None
    ids: tuple[str, ...] = ()
    boxes: tuple[Boxes, ...] | None = None

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        labels = None if self.labels is None else self.labels.to(device)
        boxes = None if self.boxes is None else tuple(each.to(device) for each in self.boxes)
        return replace(self, sources=tuple(s.to(device) for s in self.sources), labels=labels, boxes=boxes)
