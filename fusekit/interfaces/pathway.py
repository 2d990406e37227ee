"""The pathway function: the images along which an attribution is accumulated."""

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
        points: Images at which the gradient is evaluated, (P, B, C, H, W).
        increments: The step at each point, of the same shape; an attribution along the path is
            Σ_k ∂s/∂x(points_k) · increments_k.
    """

    points: Tensor
    increments: Tensor


class Pathway(Component, ABC):
    """Makes the path along which the attribution of a source is accumulated."""

    @abstractmethod
    def path(self, sources: Sources, index: int) -> AttributionPath:
        """The path that ends at one source.

        Args:
            sources: N images, each (B, C, H, W) in [0, 1].
            index: Index of the source that is attributed.
        """

    def paths(self, sources: Sources) -> Sequence[AttributionPath]:
        """One path per source, in order."""
        return [self.path(sources, index) for index in range(len(sources))]
