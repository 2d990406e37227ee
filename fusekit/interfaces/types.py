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


@dataclass(frozen=True)
class Batch:
    """A training batch.

    Attributes:
        sources: N images, each (B, C, H, W) in [0, 1], ordered by role.
        labels: Label maps, (B, H, W) int64, or None.
        ids: One identifier per sample, for error messages.
    """

    sources: Sources
    labels: Tensor | None = None
    ids: tuple[str, ...] = ()

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, sources=tuple(s.to(device) for s in self.sources), labels=labels)
