"""The unfolding stage: one iteration of an optimiser, unrolled into a layer."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from fusekit.interfaces.component import Component
from fusekit.interfaces.guidance import Guidance
from fusekit.interfaces.types import Sources, UnfoldingState


class UnfoldingStage(Component, nn.Module, ABC):
    """One stage of an unfolding backbone: a step on the data term, then a learned proximal step.

    The backbone owns the list of stages and the first state; a stage only maps state to state.

    Attributes:
        reach: By how many pixels a stage widens the part of the sources that a pixel of the result depends on, for
            fusing in tiles; None where that is not known (see `FusionBackbone.reach`).
    """

    reach: int | None = None

    @abstractmethod
    def forward(self, state: UnfoldingState, sources: Sources, guidance: Guidance | None = None) -> UnfoldingState:
        """Advances the state by one stage.

        Args:
            state: State f_k with its memory; the backbone says what the memory holds at the first stage.
            sources: N images, each (B, C, H, W) in [0, 1].
            guidance: What a task network says about images, or None.

        Returns:
            The next state: ``fused`` is f_{k+1} in [0, 1], ``previous`` is f_k, ``index`` is one more.
        """
