"""Supervised training of the task network alone: what UAAFusion calls its pre-training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fusekit.interfaces import Batch, Sources, StepPlan, StepRecord, Strategy, TrainingContext
from fusekit_tasks.config import SupervisedConfig


class SupervisedTask(Strategy):
    """One update on the task's loss on every single source and on the mean of the sources, or on a mixture.

    Both single sources and fused images will be shown to the network later: attribution asks about the ones,
    the fusion loss about the others. A mixture with random shares covers both in one image per scene, at a
    third of the cost.
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
        """The task's loss on every image that is made of a batch's scenes."""
        if batch.labels is None:
            raise ValueError("tasks.supervised needs labels; the dataset has none")
        inputs = self.config.inputs
        images = list(batch.sources) if "sources" in inputs else []
        if "mean" in inputs:
            images.append(torch.stack(batch.sources).mean(dim=0))
        if "mixture" in inputs:
            images.append(_mixture(batch.sources))
        with self.training.autocast():
            return self.task.loss(self.task(torch.cat(images)), batch.labels.repeat(len(images), 1, 1))


def _mixture(sources: Sources) -> Tensor:
    """Σ_k λ_k I_k, the shares λ drawn per image from a Dirichlet(0.5): nearly pure sources are frequent."""
    shares = torch.distributions.Dirichlet(torch.full((len(sources),), 0.5)).sample((sources[0].shape[0],))
    shares = shares.to(sources[0])[:, :, None, None, None]
    return (shares * torch.stack(sources, dim=1)).sum(dim=1)
