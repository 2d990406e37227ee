"""A component of every kind that keeps its contract; those of parts of a model are the kit's own toys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusekit.errors import DataError
from fusekit.interfaces import (
    AttributionPath,
    Batch,
    Boxes,
    DetectionNetwork,
    Detections,
    FusionDataset,
    Guidance,
    ImportedWeights,
    LossProposal,
    LossTerm,
    LossTerms,
    Metric,
    MetricValue,
    Objective,
    Observer,
    Pathway,
    ReferenceMetric,
    Sample,
    Severity,
    Sources,
    StepPlan,
    StepRecord,
    Strategy,
    TaskNetwork,
    TrainingContext,
    Transform,
    UnfoldingStage,
    UnfoldingState,
    WeightsImporter,
)
from fusekit.interfaces.config import ComponentConfig
from fusekit.plugin import hookimpl
from fusekit.testing import toys
from tests.testing.good_configs import (
    AsksASegmenter,
    Classifies,
    Detects,
    Plain,
    SceneConfig,
    Term,
    TrainsBackbone,
    Weakens,
    WeightedTerm,
)


class Backbone(toys.ToyBackbone):
    Config = Plain


class Proposer(toys.ToyProposer):
    Config = Plain


class Reconstruction(toys.ToyReconstruction):
    Config = Plain


class Task(toys.ToyTask):
    Config = Plain


class Classifier(TaskNetwork):
    """Says of a whole image which class it shows."""

    Config: Any = Classifies

    def __init__(self, config: Any = None, context: Any = None) -> None:
        super().__init__(config, context)
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh())
        self.scores = nn.Linear(4, len(context.classes))

    def forward(self, image: Tensor) -> Tensor:
        scores: Tensor = self.scores(self.net(image.mean(dim=1, keepdim=True)).mean(dim=(2, 3)))
        return scores

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target)

    def predict(self, logits: Tensor) -> Tensor:
        return logits.argmax(dim=1)


class Detector(DetectionNetwork):
    """Says of every pixel whether it is in an object of each class; its objects are single pixels."""

    Config: Any = Detects

    def __init__(self, config: Any = None, context: Any = None) -> None:
        super().__init__(config, context)
        self.net = nn.Conv2d(1, len(self.classes), 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.net(image.mean(dim=1, keepdim=True))
        return found

    def loss(self, logits: Tensor, target: tuple[Boxes, ...]) -> Tensor:
        wanted, counted = torch.zeros_like(logits), torch.ones_like(logits)
        for image, boxes in enumerate(target):
            for corners, label, ignored in zip(boxes.corners, boxes.classes, boxes.ignored, strict=True):
                left, top, right, bottom = (int(side) for side in corners)
                kinds = slice(None) if label < 0 else label
                (counted if ignored else wanted)[image, kinds, top:bottom, left:right] = 0.0 if ignored else 1.0
        loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * counted
        return loss.sum() / counted.sum().clamp_min(1)

    def predict(self, logits: Tensor) -> tuple[Detections, ...]:
        found = []
        for scores in logits.sigmoid():
            best, place = scores.flatten().topk(4)
            label, row = place // scores[0].numel(), place % scores[0].numel() // scores.shape[-1]
            corner = torch.stack([place % scores.shape[-1], row], dim=1).float()
            found.append(Detections(torch.cat([corner, corner + 1], dim=1), label, best))
        return tuple(found)


class Stage(UnfoldingStage):
    Config = Plain

    def __init__(self, config: Any = None, context: Any = None) -> None:
        super().__init__(config, context)
        self.estimate = nn.Conv2d(6, 1, 3, padding=1)
        self.remember = nn.Conv2d(9, 4, 3, padding=1)

    def forward(self, state: UnfoldingState, sources: Sources, guidance: Guidance | None = None) -> UnfoldingState:
        target = sum(w * s for w, s in zip(state.weights.split(1, dim=1), sources, strict=True))
        long, short = state.memory["long"], state.memory["short"]
        fused = torch.sigmoid(self.estimate(torch.cat([state.fused, target, long], dim=1)))
        memory = {"long": torch.tanh(self.remember(torch.cat([fused, long, short], dim=1))), "short": long}
        return replace(state, fused=fused, previous=state.fused, index=state.index + 1, memory=memory)


class Distance(Metric):
    Config = Plain
    name = "distance"
    dialect = "mean absolute"
    higher_is_better = False

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        found = tuple(float((fused.double() - s.double()).abs().mean()) for s in sources)
        return MetricValue(sum(found), found)


class IdealDistance(ReferenceMetric):
    Config = Plain
    name = "distance"
    dialect = "to the ideal"
    higher_is_better = False

    def compare(self, fused: Tensor, ideal: Tensor) -> float:
        return float((fused.double() - ideal.double()).abs().mean())


class Saliency(toys.ToyGuidanceMaker):
    Config: Any = AsksASegmenter


class Line(Pathway):
    Config = Plain

    def start(self, sources: Sources, index: int) -> Tensor:
        return torch.zeros_like(sources[index])

    def path(self, sources: Sources, index: int) -> AttributionPath:
        start, end = self.start(sources, index), sources[index]
        points = torch.stack([start + share * (end - start) for share in (0.0, 0.5, 1.0)])
        return AttributionPath(points[1:], points[1:] - points[:-1])


class Noise(FusionDataset):
    Config = SceneConfig

    def __init__(self, config: Any, root: Path | None, split: str, *, seed: int = 0) -> None:
        self.split, self.seed = split, seed

    @property
    def ids(self) -> Sequence[str]:
        return [f"{self.split}-{number}" for number in range(3)]

    def __getitem__(self, index: int) -> Sample:
        generator = torch.Generator().manual_seed(self.seed + index)
        near, far = (torch.rand(1, 12, 10, generator=generator) for _ in range(2))
        label = (near[0] > 0.5).long()
        label[0] = 255
        return Sample(self.ids[index], (near, far), label, ideal=(near + far) / 2)


class Towards(Strategy):
    """Trains the backbone towards the mean of the sources."""

    Config: Any = TrainsBackbone

    def __init__(self, config: ComponentConfig, context: Any) -> None:
        self.steps = 0

    def setup(self, training: TrainingContext) -> None:
        self.training = training
        self.update = training.updater("backbone", training.backbone)

    def loss(self, batch: Batch) -> Tensor:
        fused = self.training.backbone(batch.sources).image
        return (fused - torch.stack(batch.sources).mean(dim=0)).square().mean()

    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        self.steps += 1
        loss = self.loss(batches[0])
        self.update(loss)
        return StepRecord({"distance": loss.item()})

    def losses(self, batch: Batch) -> Mapping[str, float]:
        return {"distance": self.loss(batch).item()}


class Recovery(Objective):
    Config: Any = Plain

    def evaluator(self, training: TrainingContext) -> nn.Module:
        assert training.reconstruction is not None
        return training.reconstruction

    def loss(self, evaluator: nn.Module, fused: Tensor, batch: Batch) -> LossTerms:
        pairs = zip(evaluator(fused), batch.sources, strict=True)
        total = torch.stack([(found - source).square().mean() for found, source in pairs]).sum()
        return LossTerms(total, {"recovery": total})


class ToTheMean(LossTerm):
    Config: Any = Term

    def __call__(self, image: Tensor, sources: Sources, proposal: LossProposal | None) -> Tensor:
        return (image - torch.stack(sources).mean(dim=0)).square().mean()


class ToTheProposed(LossTerm):
    Config: Any = WeightedTerm

    def __call__(self, image: Tensor, sources: Sources, proposal: LossProposal | None) -> Tensor:
        assert proposal is not None
        target = (proposal.weights * torch.cat(sources, dim=1)).sum(dim=1, keepdim=True)
        return (image - target).square().mean()


class Weaker(Transform):
    Config: Any = Weakens

    def change(self, source: Tensor, role: str, severity: Severity, random: np.random.Generator) -> Tensor:
        noise = torch.from_numpy(random.random(source.shape, dtype=np.float32))
        return torch.lerp(source, noise, self.config.share[severity])


class Release(WeightsImporter):
    Config = Plain

    def convert(self, released: Any) -> ImportedWeights:
        if not isinstance(released, Mapping) or not released or not all(k.startswith("their.") for k in released):
            raise DataError("this is no file of theirs")
        state = {key.replace("their.", "backbone."): value for key, value in released.items()}
        return ImportedWeights({"backbone": {"use": "good.backbone"}}, state, ("infrared", "visible"))


class Diary(Observer):
    Config = Plain

    @hookimpl
    def fusekit_run_started(self, folder: Path) -> None:
        self.file = folder / "diary.txt"

    @hookimpl
    def fusekit_step_finished(self, step: int, losses: Mapping[str, float]) -> None:
        with self.file.open("a") as file:
            file.write(f"{step} {losses}\n")


GOOD: dict[str, type] = {
    "backbone": Backbone,
    "loss-proposer": Proposer,
    "reconstruction": Reconstruction,
    "task": Task,
    "stage": Stage,
    "metric": Distance,
    "guidance": Saliency,
    "pathway": Line,
    "dataset": Noise,
    "strategy": Towards,
    "objective": Recovery,
    "loss-term": ToTheMean,
    "transform": Weaker,
    "importer": Release,
    "observer": Diary,
}
