"""UAAFusion's training: joint training of the fusion and the segmentation network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from fusekit.interfaces import (
    Batch,
    BuildContext,
    LossProposal,
    LossTerms,
    StepPlan,
    StepRecord,
    Strategy,
    TrainingContext,
)
from fusekit.training.fusion_loss import FusionLoss
from fusekit_uaafusion.attribution import one_hot_share
from fusekit_uaafusion.config import JointConfig


class JointTraining(Strategy):
    """One step: attribute, fuse, and minimise L_f + 0.1 · L_seg over both networks (arXiv 2502.01467)."""

    Config = JointConfig
    config: JointConfig

    def __init__(self, config: JointConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        self.fusion_loss = FusionLoss(self.config.loss, self.context)

    def setup(self, training: TrainingContext) -> None:
        assert training.proposer is not None
        self.training = training
        self.backbone, self.proposer = training.backbone, training.proposer
        self.task = training.task if self.config.task_weight else None
        trained: list[tuple[nn.Module, float]] = [(self.backbone, 1.0)]
        if self.task is not None and self.config.task_rate:
            trained.append((self.task, self.config.task_rate))
        self.update = training.updater("joint", *trained)

    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        self.backbone.train()
        if self.task is not None:
            self.task.train(mode=not self.config.freeze_statistics)
        loss, proposal = self.loss(batches[0])
        self.update(loss)
        return StepRecord({**_numbers(loss), "one-hot share": one_hot_share(proposal.weights)})

    def losses(self, batch: Batch) -> Mapping[str, float]:
        return _numbers(self.loss(batch)[0])

    def loss(self, batch: Batch) -> tuple[LossTerms, LossProposal]:
        """L_f + 0.1 · L_seg of a batch, and the proposal in L_f."""
        # Attribution by the current segmentation network, computed once for the loss and the backbone.
        guidance = self.training.guidance(batch)
        with self.training.autocast():
            proposal = self.proposer(batch.sources, guidance=guidance)
            fused = self.backbone(batch.sources, guidance=guidance).image

            # L_f with the attribution weights.
            fusion = self.fusion_loss(fused, batch.sources, proposal)
            terms, total = dict(fusion.terms), fusion.total

            # L_seg: mean of the segmentation losses on the fused image and on every source.
            if self.task is not None and getattr(batch, self.task.annotation) is not None:
                images, target = (fused, *batch.sources), self.task.targets(batch)
                losses = [self.task.loss(self.task(image), target) for image in images]
                terms["task"] = torch.stack(losses).mean()
                total = total + self.config.task_weight * terms["task"]
        return LossTerms(total, terms), proposal


def _numbers(loss: LossTerms) -> dict[str, float]:
    return {"total": loss.total.item(), **{name: term.item() for name, term in loss.terms.items()}}
