"""The pathway function: along which images an attribution is accumulated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from fusekit.interfaces.component import Component
from fusekit.interfaces.types import Sources


@dataclass(frozen=True)
class AttributionPath:
    """A discretised path through image space.

    Attributes:
        points: Where the gradient is taken, (P, B, C, H, W).
        increments: The step that belongs to each point, same shape; an attribution along the path is
            Σ_k ∂s/∂x(points_k) · increments_k.
    """

    points: Tensor
    increments: Tensor


class Pathway(Component, ABC):
    """Makes the path along which a source is attributed."""

    @abstractmethod
    def path(self, sources: Sources, index: int) -> AttributionPath:
        """The path that ends at one source.

        Args:
            sources: N images, each (B, C, H, W) in [0, 1].
            index: Which of them is attributed.
        """

    def paths(self, sources: Sources) -> Sequence[AttributionPath]:
        """One path per source, in order."""
        return [self.path(sources, index) for index in range(len(sources))]
