"""The unfolding stage of UAAFusion."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from fusekit.interfaces import BuildContext, Guidance, Sources, UnfoldingStage, UnfoldingState
from fusekit_uaafusion.blocks import ConvLSTM, ConvUnit
from fusekit_uaafusion.config import StageConfig


class AttributionStage(UnfoldingStage):
    """Gradient step, attribution attention, proximal network, memory augmentation.

    Memory between stages, each (B, channels, H, W): ``long`` (l), ``short`` (m), ``hidden`` and ``cell`` of
    the ConvLSTM; and ``attention``, (B, C, H, W), the running mean of the attribution along the unfolding.
    The image has one channel.

    Attributes:
        reach: Number of pixels by which a stage extends the receptive field: from l through the mix, the output gate,
            the memory's input, the ConvLSTM and its output to the next l.
    """

    Config = StageConfig
    config: StageConfig
    reach = 9

    def __init__(self, config: StageConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        config = self.config
        channels = config.channels
        self.gradient_step = config.gradient_step
        self.attends = config.attention
        self.alpha = nn.Parameter(torch.tensor(config.alpha))
        if not config.gradient_step:
            self.alpha.requires_grad_(False)
        self.image_features = ConvUnit(1, channels, channels)
        self.mix = ConvUnit(3 * channels, channels, channels)
        self.output_gate = ConvUnit(channels, channels, channels)
        # Initialised with a tenth of the spread, so that the sigmoid is not saturated at the start.
        self.to_image = ConvUnit(channels, max(channels // 2, 1), 1, spread=0.1)
        self.memory_input = ConvUnit(3 * channels, channels, channels)
        self.memory = ConvLSTM(channels)
        self.memory_output = ConvUnit(channels, channels, channels)

    def forward(self, state: UnfoldingState, sources: Sources, guidance: Guidance | None = None) -> UnfoldingState:
        f, memory = state.fused, state.memory
        long, short = memory["long"], memory["short"]

        # 1. Gradient step of the data term towards the weighted sources.
        r = f
        if self.gradient_step:
            target = sum(w * s for w, s in zip(state.weights.split(1, dim=1), sources, strict=True))
            r = f - self.alpha * (f - target)

        # 2. Attribution attention: where recent changes of f changed the score of the task.
        attention = self._attention(state, guidance)

        # 3. Proximal network.
        a = self.image_features(r)
        long = self.mix(torch.cat([a, long, short], dim=1))
        short = long + self.output_gate(long) * torch.sigmoid(attention)
        fused = torch.sigmoid(self.to_image(short))

        # 4. Memory augmentation.
        hidden, cell = self.memory(
            self.memory_input(torch.cat([a, long, short], dim=1)), memory.get("hidden"), memory.get("cell")
        )
        long = self.memory_output(hidden)

        return replace(
            state,
            fused=fused,
            previous=f,
            index=state.index + 1,
            memory={"long": long, "short": short, "hidden": hidden, "cell": cell, "attention": attention},
        )

    def _attention(self, state: UnfoldingState, guidance: Guidance | None) -> Tensor:
        """Running mean of g_k · (f_k - f_{k-1}) over the stages so far; zero in the first stage."""
        if state.previous is None or guidance is None or not self.attends:
            return torch.zeros_like(state.fused)
        g = guidance.task_gradient(state.fused)
        change = (state.fused - state.previous).detach()
        count = state.index  # number of changes of f so far, including this one
        return (state.memory["attention"] * (count - 1) + g * change) / count
