"""Supervised training of the task network alone, the pre-training of UAAFusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fusekit.interfaces import Batch, Sources, StepPlan, StepRecord, Strategy, TrainingContext
from fusekit_tasks.config import SupervisedConfig


class SupervisedTask(Strategy):
    """Updates the task network with its loss on every source and on the mean of the sources, or on a mixture.

    Later the network receives both single sources (for attribution) and fused images (for the fusion loss). A mixture
    with random weights covers both with one image per scene, at a third of the cost.
    """

    Config = SupervisedConfig
    config: SupervisedConfig

    def setup(self, training: TrainingContext) -> None:
        assert training.task is not None
        self.training = training
        self.task = training.task
        self.update = training.updater("task", self.task)

    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        self.task.train()
        loss = self.loss(batches[0])
        self.update(loss)
        return StepRecord({"task": loss.item()})

    def losses(self, batch: Batch) -> Mapping[str, float]:
        return {"task": self.loss(batch).item()}

    def loss(self, batch: Batch) -> Tensor:
        """Loss of the task network on all inputs made from a batch."""
        if batch.labels is None:
            raise ValueError("tasks.supervised needs labels, but the dataset has none")
        inputs = self.config.inputs
        images = list(batch.sources) if "sources" in inputs else []
        if "mean" in inputs:
            images.append(torch.stack(batch.sources).mean(dim=0))
        if "mixture" in inputs:
            images.append(_mixture(batch.sources))
        with self.training.autocast():
            return self.task.loss(self.task(torch.cat(images)), batch.labels.repeat(len(images), 1, 1))


def _mixture(sources: Sources) -> Tensor:
    """Σ_k λ_k I_k with weights λ drawn per image from a Dirichlet(0.5), so that nearly pure sources are frequent."""
    shares = torch.distributions.Dirichlet(torch.full((len(sources),), 0.5)).sample((sources[0].shape[0],))
    shares = shares.to(sources[0])[:, :, None, None, None]
    return (shares * torch.stack(sources, dim=1)).sum(dim=1)
