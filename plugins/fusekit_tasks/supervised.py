"""Supervised training of the task network alone: what UAAFusion calls its pre-training."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fusekit.interfaces import Batch, BuildContext, StepPlan, StepRecord, Strategy, TrainingContext
from fusekit_tasks.config import SupervisedConfig


class SupervisedTask(Strategy):
    """One update on the mean of the task's losses on every single source and on the mean of the sources."""

    Config = SupervisedConfig
    trains = frozenset({"task"})

    def __init__(self, config: SupervisedConfig, context: BuildContext) -> None:
        self.inputs = config.inputs

    def setup(self, training: TrainingContext) -> None:
        assert training.task is not None
        self.training = training
        self.task = training.task
        self.update = training.updater("task", self.task.parameters())

    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        batch = batches[0]
        if batch.labels is None:
            raise ValueError("tasks.supervised needs labels; the dataset has none")
        images = list(batch.sources) if "sources" in self.inputs else []
        if "mean" in self.inputs:
            images.append(torch.stack(batch.sources).mean(dim=0))
        self.task.train()
        with self.training.autocast():
            loss = self.task.loss(self.task(torch.cat(images)), batch.labels.repeat(len(images), 1, 1))
        self.update(loss)
        return StepRecord({"segmentation": loss.item()})
