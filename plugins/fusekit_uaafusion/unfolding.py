"""UAAFusion's unfolding network."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn

from fusekit.interfaces import (
    BuildContext,
    FusionBackbone,
    FusionOutput,
    Guidance,
    Sources,
    UnfoldingState,
)
from fusekit_uaafusion.attribution import attribution_weights
from fusekit_uaafusion.blocks import ConvUnit
from fusekit_uaafusion.config import UnfoldingConfig


class UnfoldingBackbone(FusionBackbone):
    """Unfolding fusion network (UAAFusion, arXiv 2502.01467).

    f_0 is the mean of the sources; the concatenated features of all sources are the first long and short memory; then
    every stage refines the image. The first stage receives these features, (B, channels, H, W), as ``memory["long"]``
    and ``memory["short"]``; the stages define what they pass on. Without guidance all sources have equal weights and
    the attention is zero. Sources and result are (B, 1, H, W).
    """

    Config = UnfoldingConfig
    config: UnfoldingConfig
    uses_guidance = True
    check_with: ClassVar[dict[str, Any]] = {  # for `fusekit plugins check`
        "params": {"stages": 3, "channels": 4, "stage": {"use": "uaafusion.stage", "params": {"channels": 4}}},
        # The memory of the last stage and the recurrent input of the first are not used, as in the paper.
        "untrained": ("stages.2.memory", "stages.0.memory.of_state"),
    }

    def __init__(self, config: UnfoldingConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context or _own_stages())
        config, context = self.config, self.context
        count = len(context.roles)
        if config.channels % count:
            raise ValueError(f"{config.channels} channels cannot be divided equally between {count} sources")
        each = config.channels // count
        self.source_features = nn.ModuleList(ConvUnit(1, each, each) for _ in range(count))
        distinct = 1 if config.share_stages else config.stages
        self.stages = nn.ModuleList(context.build("stage", config.stage) for _ in range(distinct))
        self.stage_count = config.stages
        self.reach = self._reach()

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> FusionOutput:
        if len(sources) != len(self.source_features):
            raise ValueError(f"built for {len(self.source_features)} sources, got {len(sources)}")
        images = torch.cat(sources, dim=1)  # (B, N, H, W)
        features = torch.cat([unit(s) for unit, s in zip(self.source_features, sources, strict=True)], dim=1)
        weights = attribution_weights(guidance) if guidance is not None else torch.full_like(images, 1.0 / len(sources))
        state = UnfoldingState(
            fused=images.mean(dim=1, keepdim=True),
            previous=None,
            weights=weights,
            memory={"long": features, "short": features},
        )
        iterates = [state.fused]
        for k in range(self.stage_count):
            stage = self.stages[k % len(self.stages)]
            state = stage(state, sources, guidance)
            iterates.append(state.fused)
        return FusionOutput(state.fused, weights=weights, stages=tuple(iterates))

    def _reach(self) -> int | None:
        """Reach of the source features (two convolutions) and all stages; None if a stage declares no reach."""
        reach = 2
        for k in range(self.stage_count):
            of_stage: int | None = self.stages[k % len(self.stages)].reach  # type: ignore[assignment]
            if of_stage is None:
                return None
            reach += of_stage
        return reach


def _own_stages() -> BuildContext:
    """Context of a backbone built without a recipe: two sources, stages of this plugin."""
    from fusekit_uaafusion.config import StageConfig
    from fusekit_uaafusion.stage import AttributionStage

    return BuildContext(
        roles=("infrared", "visible"),
        builder=lambda kind, ref: AttributionStage(StageConfig(**ref.params)),
    )
