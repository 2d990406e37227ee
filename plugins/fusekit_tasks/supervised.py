"""Supervised training of the task network alone, the pre-training of UAAFusion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fusekit.errors import UsageError
from fusekit.interfaces import Batch, SegmentationNetwork, StepPlan, StepRecord, Strategy, TrainingContext
from fusekit_tasks.config import SupervisedConfig
from fusekit_tasks.inputs import annotated, draw, make_inputs, vary


class SupervisedTask(Strategy):
    """Updates the task network with its loss on inputs made from the sources: single sources, mean, maximum, mixtures.

    Later the network receives both single sources (for attribution) and fused images (for the fusion loss). A mixture
    with random weights, or one input drawn at random, covers both with one image per scene, at a third of the cost.
    """

    Config = SupervisedConfig
    config: SupervisedConfig

    def setup(self, training: TrainingContext) -> None:
        assert training.task is not None
        self.training = training
        self.task = training.task
        self.update = training.updater("task", *_with_rates(self.task, self.config.rates))

    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        self.task.train()
        (batch,) = batches
        self.task.targets(batch)  # refuses data without the annotations, before anything is computed
        images = make_inputs(batch.sources, self.config)
        varied = vary(annotated(draw(images) if self.config.draw else torch.cat(images), batch), self.config)
        with self.training.autocast():
            loss = self.task.loss(self.task(varied.sources[0]), self.task.targets(varied))
        self.update(loss)
        return StepRecord({"task": loss.item()})

    def losses(self, batch: Batch) -> Mapping[str, float]:
        """The loss on all inputs without variation, and the disagreement with the label maps.

        The disagreement is 1 - mean IoU, computed in each image over the classes in its label map or prediction, as a
        mean over images and inputs; NaN if the task network is not a segmentation network or nothing is labelled.
        """
        every = annotated(torch.cat(make_inputs(batch.sources, self.config)), batch)
        with self.training.autocast():
            output = self.task(every.sources[0])
            loss = self.task.loss(output, self.task.targets(every))
        disagreement = math.nan
        if isinstance(self.task, SegmentationNetwork):
            disagreement = 1.0 - _mean_iou(self.task.predict(output), self.task.targets(every), self.task)
        return {"task": loss.item(), "disagreement": disagreement}


def _mean_iou(predictions: Tensor, labels: Tensor, task: SegmentationNetwork) -> float:
    """Mean over images of the mean IoU over classes; images without labelled pixels are left out."""
    values = []
    for prediction, label in zip(predictions, labels, strict=True):
        counted = (label >= 0) & (label < len(task.classes))
        for ignored in task.ignored:
            counted &= label != ignored
        count = len(task.classes)
        pairs = torch.bincount(label[counted] * count + prediction[counted], minlength=count**2).view(count, count)
        hits = pairs.diagonal().double()
        union = pairs.sum(dim=0) + pairs.sum(dim=1) - hits
        values.append((hits / union)[union > 0].mean())
    return float(torch.stack(values).nanmean())


def _with_rates(task: nn.Module, rates: Mapping[str, float]) -> list[tuple[nn.Module, float]]:
    """Modules and their shares of the learning rate; every parameter in the most specific of the named submodules.

    Raises:
        UsageError: The task network has no submodule of that name.
    """
    known = dict(task.named_modules())
    groups: dict[str, nn.ParameterList] = {name: nn.ParameterList() for name in ("", *rates)}
    for name in rates:
        if name not in known:
            raise UsageError(
                f"tasks.supervised: `rates` names {name!r}, but the task network has no such submodule",
                hint="names of the network: " + ", ".join(n for n in known if n and n.count(".") < 2),
            )
    for parameter_name, parameter in task.named_parameters():
        inside = [name for name in rates if parameter_name.startswith(f"{name}.")]
        groups[max(inside, key=len, default="")].append(parameter)
    return [(group, rates.get(name, 1.0)) for name, group in groups.items() if len(group)]
