"""Toy components that complete a model around the component under test."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from fusekit.errors import UsageError
from fusekit.interfaces.backbone import FusionBackbone
from fusekit.interfaces.config import ComponentConfig, ComponentRef
from fusekit.interfaces.context import BuildContext, ClassTable
from fusekit.interfaces.evaluation_mode import undisturbed
from fusekit.interfaces.guidance import Guidance, GuidanceMaker, RegionAttribution
from fusekit.interfaces.proposer import LossProposer
from fusekit.interfaces.reconstruction import ReconstructionHead
from fusekit.interfaces.strategy import Updater, UpdateRule
from fusekit.interfaces.task import SegmentationNetwork, TaskNetwork
from fusekit.interfaces.types import Batch, FusionOutput, LossProposal, Sources
from fusekit.model.assembly import Builder
from fusekit.model.system import FusionSystem
from fusekit.plugin.registry import Registry


def _score(channels: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, 3, 3, padding=1), nn.Tanh(), nn.Conv2d(3, 1, 1), nn.Sigmoid())


def _shares(score: nn.Module, sources: Sources) -> Tensor:
    scores = torch.cat([score(source.mean(dim=1, keepdim=True)) for source in sources], dim=1)
    return scores / scores.sum(dim=1, keepdim=True)


class ToyBackbone(FusionBackbone):
    """A mean of the sources with learned weights per pixel; for any number of sources."""

    def __init__(self, config: ComponentConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        self.score = _score()

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> FusionOutput:
        weights = _shares(self.score, sources)
        image = (weights[:, :, None] * torch.stack(sources, dim=1)).sum(dim=1).clamp(0.0, 1.0)
        return FusionOutput(image, weights)


class ToyProposer(LossProposer):
    """Learned weights of the sources."""

    def __init__(self, config: ComponentConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        self.score = _score()

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> LossProposal:
        return LossProposal(_shares(self.score, sources))


class ToyReconstruction(ReconstructionHead):
    """One small convolution per source."""

    def __init__(self, config: ComponentConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        count = len(self.context.roles)
        self.decoders = nn.ModuleList(_score() for _ in range(count))

    def forward(self, fused: Tensor) -> Sources:
        grey = fused.mean(dim=1, keepdim=True)
        return tuple(decode(grey).expand_as(fused) for decode in self.decoders)


class ToyTask(SegmentationNetwork):
    """Two convolutions; twice differentiable."""

    second_order = True

    def __init__(self, config: ComponentConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, len(self.classes), 1))

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.net(image.mean(dim=1, keepdim=True))
        return logits


class ToyGuidance(Guidance):
    """Guidance by a segmentation network: gradient times image, averaged over the region of each class."""

    def __init__(self, task: SegmentationNetwork, sources: Sources, labels: Tensor | None) -> None:
        self.task = task
        self.sources = tuple(source.detach() for source in sources)
        self.labels = labels

    def attribution(self) -> RegionAttribution:
        return self._attribution

    @cached_property
    def _attribution(self) -> RegionAttribution:
        regions = self.labels
        if regions is None:
            with undisturbed(self.task), torch.no_grad():
                regions = self.task(torch.stack(self.sources).mean(dim=0)).argmax(dim=1)
        classes = torch.arange(len(self.task.classes))
        inside = (regions[:, None] == classes[None, :, None, None]).to(self.sources[0].dtype)  # (B, K, H, W)
        pixels = inside.sum(dim=(2, 3)).clamp_min(1)
        maps = [(self.task_gradient(source) * source).sum(dim=1, keepdim=True).abs() for source in self.sources]
        scores = torch.stack([(values * inside).sum(dim=(2, 3)) / pixels for values in maps], dim=1)
        return RegionAttribution(scores, regions)

    def task_gradient(self, image: Tensor) -> Tensor:
        with undisturbed(self.task), torch.enable_grad():
            image = image.detach().requires_grad_()
            score = self.task(image).square().mean(dim=(1, 2, 3)).sum()
            (gradient,) = torch.autograd.grad(score, image)
        return gradient


class ToyGuidanceMaker(GuidanceMaker):
    """Makes a `ToyGuidance` for every batch."""

    def of(self, task: TaskNetwork | None, sources: Sources, labels: Tensor | None = None) -> Guidance:
        if not isinstance(task, SegmentationNetwork):
            raise UsageError("the toy guidance needs a segmentation network")
        return ToyGuidance(task, sources, labels)


def seeded_toy(toy: type[nn.Module], roles: tuple[str, ...], classes: ClassTable | None, seed: int = 0) -> Any:
    """A toy part with weights determined by the seed; the global random state is not changed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return toy(None, BuildContext(roles, classes))


_PARTS: dict[str, tuple[str, type[nn.Module]]] = {
    "backbone": ("backbone", ToyBackbone),
    "proposer": ("loss-proposer", ToyProposer),
    "reconstruction": ("reconstruction", ToyReconstruction),
    "task": ("task", ToyTask),
}
PART_OF_KIND = {kind: part for part, (kind, _) in _PARTS.items()}
"""Kind of component → its part of a model."""


def toy_system(
    model: Mapping[str, Any], roles: tuple[str, ...], classes: ClassTable, registry: Registry, seed: int = 0
) -> FusionSystem:
    """A complete model: the parts named in `model` as in a recipe, toys for the others."""
    builder = Builder(roles, classes, registry)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts: dict[str, Any] = {
            part: builder.build(kind, ComponentRef.model_validate(model[part]))
            if part in model
            else toy(None, BuildContext(roles, classes))
            for part, (kind, toy) in _PARTS.items()
        }
        if "guidance" in model:
            guidance = builder.build("guidance", ComponentRef.model_validate(model["guidance"]))
        else:
            guidance = ToyGuidanceMaker() if isinstance(parts["task"], SegmentationNetwork) else None
    return FusionSystem(**parts, guidance=guidance, roles=roles, classes=classes)


class ToyTraining:
    """Training context for checks that do not train."""

    def __init__(self, system: FusionSystem) -> None:
        self.system = system
        self.device = torch.device("cpu")
        self.backbone = system.backbone
        self.proposer = system.proposer
        self.reconstruction = system.reconstruction
        self.task = system.task

    def updater(self, name: str, *parts: tuple[nn.Module, float] | nn.Module, rule: UpdateRule = "recipe") -> Updater:
        """Not supported, because this context does not train."""
        raise RuntimeError(f"updater {name!r}: this check of the component does not train")

    def guidance(self, batch: Batch) -> Guidance | None:
        """Guidance of the toy task network."""
        return self.system.guidance(batch.sources, batch.labels)

    def autocast(self) -> AbstractContextManager[Any]:
        """Full precision."""
        return nullcontext()
