"""Objectives of the outer update: reconstruction of the sources (ReFusion) and the task loss (TDFusion)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusekit.interfaces import (
    Batch,
    LossTerms,
    Objective,
    ReconstructionHead,
    TaskNetwork,
    TrainingContext,
)
from fusekit.training.fusion_loss import gradient_strength
from fusekit_refusion.config import SourcesObjectiveConfig, TaskObjectiveConfig


class SourcesObjective(Objective):
    """L_rec = Σ_k [ mean (Î_k - I_k)² + mean |S(Î_k) - S(I_k)| ], S = |sobel_x| + |sobel_y| (ReFusion).

    The evaluator is the reconstruction head, which computes Î_k from the fused image.
    """

    Config = SourcesObjectiveConfig

    def evaluator(self, training: TrainingContext) -> nn.Module:
        assert training.reconstruction is not None
        return training.reconstruction

    def loss(self, evaluator: nn.Module, fused: Tensor, batch: Batch) -> LossTerms:
        assert isinstance(evaluator, ReconstructionHead)
        terms = [
            (rebuilt - source).square().mean() + (gradient_strength(rebuilt) - gradient_strength(source)).abs().mean()
            for rebuilt, source in zip(evaluator(fused), batch.sources, strict=True)
        ]
        total = torch.stack(terms).sum()
        return LossTerms(total, {"reconstruction": total})


class TaskObjective(Objective):
    """The loss of the task network on the fused image (TDFusion)."""

    Config = TaskObjectiveConfig

    def evaluator(self, training: TrainingContext) -> nn.Module:
        assert training.task is not None
        return training.task

    def loss(self, evaluator: nn.Module, fused: Tensor, batch: Batch) -> LossTerms:
        assert isinstance(evaluator, TaskNetwork)
        total = evaluator.loss(evaluator(fused), evaluator.targets(batch))
        return LossTerms(total, {"task": total})
