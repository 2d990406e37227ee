"""The unfolding stage: one iteration of an optimisation algorithm, unrolled into a layer."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from fusekit.interfaces.component import Component
from fusekit.interfaces.guidance import Guidance
from fusekit.interfaces.types import Sources, UnfoldingState


class UnfoldingStage(Component, nn.Module, ABC):
    """One stage of an unfolding backbone: a step on the data term, then a learned proximal step.

    The backbone owns the list of stages and the initial state; a stage only maps state to state.

    Attributes:
        reach: Number of pixels by which a stage enlarges the part of the sources that a pixel of the result depends
            on, for tiled fusion; None if it is not known (see `FusionBackbone.reach`).
    """

    reach: int | None = None

    @abstractmethod
    def forward(self, state: UnfoldingState, sources: Sources, guidance: Guidance | None = None) -> UnfoldingState:
        """Advances the state by one stage.

        Args:
            state: State f_k with its memory; the backbone defines the content of the memory at the first stage.
            sources: N images, each (B, C, H, W) in [0, 1].
            guidance: Guidance from the task network, or None.

        Returns:
            The next state: ``fused`` is f_{k+1} in [0, 1], ``previous`` is f_k, ``index`` is one more.
        """
