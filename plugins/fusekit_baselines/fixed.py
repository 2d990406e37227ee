"""Training without labels: a backbone learns with a fixed fusion loss, the control of every learned one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from fusekit.interfaces import (
    Batch,
    BuildContext,
    LossTerms,
    StepPlan,
    StepRecord,
    Strategy,
    TrainingContext,
)
from fusekit.training.fusion_loss import FusionLoss
from fusekit_baselines.config import FixedLossConfig


class FixedLoss(Strategy):
    """Every step minimises the fusion loss over the backbone; the proposer, learned or fixed, stays as it is."""

    Config = FixedLossConfig

    config: FixedLossConfig

    def __init__(self, config: FixedLossConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        self.fusion_loss = FusionLoss(self.config.loss, self.context)

    def setup(self, training: TrainingContext) -> None:
        self.training = training
        self.backbone, self.proposer = training.backbone, training.proposer
        self.update = training.updater("fusion", self.backbone)

    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        self.backbone.train()
        if self.proposer is not None:
            self.proposer.eval()
        loss = self.loss(batches[0])
        self.update(loss)
        return StepRecord(_numbers(loss))

    def losses(self, batch: Batch) -> Mapping[str, float]:
        return _numbers(self.loss(batch))

    def loss(self, batch: Batch) -> LossTerms:
        """The fusion loss of a batch."""
        guidance = self.training.guidance(batch)
        with self.training.autocast():
            proposal = None
            if self.proposer is not None:
                with torch.no_grad():
                    proposal = self.proposer(batch.sources, guidance=guidance)
            fused = self.backbone(batch.sources, guidance=guidance).image
            return self.fusion_loss(fused, batch.sources, proposal)


def _numbers(loss: LossTerms) -> dict[str, float]:
    return {"total": loss.total.item(), **{name: term.item() for name, term in loss.terms.items()}}
