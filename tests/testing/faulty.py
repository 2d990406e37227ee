"""Components with one fault each: subclasses of good ones, named after the check that should find it."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import ConfigDict, field_serializer
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from fusekit.interfaces import (
    AttributionPath,
    Batch,
    Boxes,
    ClassTable,
    ComponentConfig,
    Detections,
    Field,
    FusionOutput,
    ImportedWeights,
    LossProposal,
    LossTerms,
    MetricValue,
    Provenance,
    RegionAttribution,
    Sample,
    StepPlan,
    StepRecord,
    undisturbed,
)
from fusekit.plugin import hookimpl
from fusekit.testing import toys
from tests.testing import good
from tests.testing.good_configs import Classifies, Plain, SceneConfig, TrainsBackbone

_builds = itertools.count(1)


@dataclass(frozen=True)
class Fault:
    """A component with one fault.

    Attributes:
        kind: Kind of the component.
        check: The only check that should fail.
        target: The component's class.
        config: Where its Config is said to stand.
        entry: The entry module of its plugin.
        attributes: Attributes of its contract.
    """

    kind: str
    check: str
    target: type
    config: str | None = None
    entry: str = "tests.testing.entry"
    attributes: dict[str, Any] = field(default_factory=dict)


FAULTS: list[Fault] = []


def fault(kind: str, check: str, **more: Any) -> Any:
    """Puts a class into the table."""

    def enter(target: type) -> type:
        FAULTS.append(Fault(kind, f"test_{check}", target, **more))
        return target

    return enter


def smaller(image: Tensor) -> Tensor:
    """Large images lose a border."""
    return image[..., :48, :48] if image.shape[-1] > 60 else image


class Once(torch.autograd.Function):
    """Times one; its gradient has no gradient."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient


def once(x: Tensor) -> Tensor:
    found: Tensor = Once.apply(x)
    return found


# Any kind ---------------------------------------------------------------------------------------------------


@fault("backbone", "name_resolves_to_a_class_of_its_kind")
class NoBackbone(nn.Module):
    Config = Plain


@fault("backbone", "entry_module_imports_no_torch", entry="tests.testing.faulty")
class TorchAtEntry(good.Backbone):
    pass


@fault("backbone", "options_import_no_torch", config="tests.testing.faulty:Heavy")
class TorchInOptions(good.Backbone):
    class Config(ComponentConfig):
        pass


Heavy = TorchInOptions.Config


@fault("backbone", "options_are_described")
class Undescribed(good.Backbone):
    class Config(ComponentConfig):  # type: ignore[assignment]
        width: int = 3


@fault("backbone", "parameters_survive_json")
class Drifting(good.Backbone):
    class Config(ComponentConfig):  # type: ignore[assignment]
        width: int = Field(3, description="grows in every file")

        @field_serializer("width")
        def _grown(self, width: int) -> int:
            return width + 1


@fault("backbone", "unknown_options_are_refused")
class Careless(good.Backbone):
    class Config(ComponentConfig):  # type: ignore[assignment]
        model_config = ConfigDict(frozen=True, extra="ignore")


@fault("backbone", "it_can_be_built")
class Unbuildable(good.Backbone):
    def __init__(self, config: Any = None, context: Any = None) -> None:
        raise RuntimeError("no")


@fault("backbone", "it_is_built_offline")
class Downloading(good.Backbone):
    def __init__(self, config: Any = None, context: Any = None) -> None:
        super().__init__(config, context)
        with contextlib.suppress(OSError):
            socket.create_connection(("localhost", 9), timeout=0.1)


@fault("backbone", "global_random_state_is_not_changed")
class Drawing(good.Backbone):
    def forward(self, sources: Any, *, guidance: Any = None) -> FusionOutput:
        random.random()
        return super().forward(sources)


@fault("metric", "global_random_state_is_not_changed")
class Seeding(good.Distance):
    def __init__(self, config: Any = None, context: Any = None) -> None:
        import numpy as np

        np.random.seed(3)


# Networks ---------------------------------------------------------------------------------------------------


@fault("backbone", "inputs_are_not_changed")
class Overwriting(good.Backbone):
    def forward(self, sources: Any, *, guidance: Any = None) -> FusionOutput:
        sources[0].data.clamp_(max=0.5)
        return super().forward(sources)


@fault("backbone", "results_are_reproducible")
class Counting(good.Backbone):
    def __init__(self, config: Any = None, context: Any = None) -> None:
        super().__init__(config, context)
        with torch.no_grad():
            self.score[0].weight.mul_(next(_builds))


@fault("backbone", "images_of_a_batch_are_independent")
class Sociable(good.Backbone):
    def forward(self, sources: Any, *, guidance: Any = None) -> FusionOutput:
        output = super().forward(sources)
        return replace(output, image=0.8 * output.image + 0.2 * output.image.mean(dim=0, keepdim=True))


@fault("backbone", "mode_is_not_changed")
class Switching(good.Backbone):
    def forward(self, sources: Any, *, guidance: Any = None) -> FusionOutput:
        self.score.eval()
        return super().forward(sources)


@fault("backbone", "gradient_reaches_every_parameter")
class Hoarding(good.Backbone):
    def __init__(self, config: Any = None, context: Any = None) -> None:
        super().__init__(config, context)
        self.unused = nn.Parameter(torch.zeros(3))


@fault("backbone", "functional_call_equals_forward")
class Remembering(good.Backbone):
    def __init__(self, config: Any = None, context: Any = None) -> None:
        super().__init__(config, context)
        self.kept = [self.score[2].weight]

    def forward(self, sources: Any, *, guidance: Any = None) -> FusionOutput:
        output = super().forward(sources)
        return replace(output, image=(output.image * torch.sigmoid(self.kept[0].sum())))


@fault("backbone", "weights_survive_a_file")
class Forgetting(good.Backbone):
    def __init__(self, config: Any = None, context: Any = None) -> None:
        super().__init__(config, context)
        self.scale = torch.rand(())

    def forward(self, sources: Any, *, guidance: Any = None) -> FusionOutput:
        output = super().forward(sources)
        return replace(output, image=output.image * self.scale)


@fault("backbone", "copies_are_independent")
class Clinging(good.Backbone):
    def __init__(self, config: Any = None, context: Any = None) -> None:
        super().__init__(config, context)
        self.weigh = lambda sources: toys.ToyBackbone.forward(self, sources)

    def forward(self, sources: Any, *, guidance: Any = None) -> FusionOutput:
        return self.weigh(sources)


# Backbones --------------------------------------------------------------------------------------------------


@fault("backbone", "image_has_the_size_of_the_sources")
class Cropping(good.Backbone):
    def forward(self, sources: Any, *, guidance: Any = None) -> FusionOutput:
        output = super().forward(sources)
        return replace(output, image=smaller(output.image))


@fault("backbone", "image_is_an_image")
class Glaring(good.Backbone):
    def forward(self, sources: Any, *, guidance: Any = None) -> FusionOutput:
        output = super().forward(sources)
        return replace(output, image=1.5 * output.image)


@fault("backbone", "shares_sum_to_one")
class Generous(good.Backbone):
    def forward(self, sources: Any, *, guidance: Any = None) -> FusionOutput:
        output = super().forward(sources)
        return replace(output, weights=0.9 * output.weights)


@fault("backbone", "works_without_guidance")
class Dependent(good.Backbone):
    uses_guidance = True

    def forward(self, sources: Any, *, guidance: Any = None) -> FusionOutput:
        guidance.attribution()
        return super().forward(sources)


@fault("backbone", "source_count_is_correct")
class Paired(good.Backbone):
    def forward(self, sources: Any, *, guidance: Any = None) -> FusionOutput:
        first, second = sources
        return super().forward((first, second))


@fault("backbone", "reach_is_correct")
class Shortsighted(good.Backbone):
    reach = 0


@fault("backbone", "can_be_differentiated_twice")
class Rough(good.Backbone):
    def forward(self, sources: Any, *, guidance: Any = None) -> FusionOutput:
        output = super().forward(sources)
        return replace(output, image=once(output.image))


# Proposers --------------------------------------------------------------------------------------------------


@fault("loss-proposer", "weights_have_the_size_of_the_sources")
class CroppingProposer(good.Proposer):
    def forward(self, sources: Any, *, guidance: Any = None) -> LossProposal:
        return LossProposal(smaller(super().forward(sources).weights))


@fault("loss-proposer", "weights_are_not_negative")
class NegativeProposer(good.Proposer):
    def forward(self, sources: Any, *, guidance: Any = None) -> LossProposal:
        weights = super().forward(sources).weights
        return LossProposal(40.0 * (weights - 0.5) + 0.5)


@fault("loss-proposer", "weights_sum_to_one")
class HalfProposer(good.Proposer):
    def forward(self, sources: Any, *, guidance: Any = None) -> LossProposal:
        return LossProposal(super().forward(sources).weights / 2)


@fault("loss-proposer", "takes_any_number_of_sources")
class PairedProposer(good.Proposer):
    def forward(self, sources: Any, *, guidance: Any = None) -> LossProposal:
        first, second = sources
        return super().forward((first, second))


# Reconstruction heads ---------------------------------------------------------------------------------------


@fault("reconstruction", "gives_an_image_per_role")
class TwoOnly(good.Reconstruction):
    def __init__(self, config: Any = None, context: Any = None) -> None:
        super().__init__(config, replace(context, roles=("a", "b")))


@fault("reconstruction", "images_have_the_size_of_the_fused_one")
class CroppingHead(good.Reconstruction):
    def forward(self, fused: Tensor) -> Any:
        return tuple(smaller(image) for image in super().forward(fused))


@fault("reconstruction", "images_are_images")
class GlaringHead(good.Reconstruction):
    def forward(self, fused: Tensor) -> Any:
        return tuple(4.0 * image - 1.0 for image in super().forward(fused))


# Task networks ----------------------------------------------------------------------------------------------


@fault("task", "takes_grey_and_colour_images_of_any_size")
class GreyOnly(good.Task):
    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.net(image)
        return found


@fault("task", "options_declare_what_it_solves")
class ShyTask(good.Task):
    Config = Classifies


@fault("task", "options_declare_what_it_solves")
class BoastfulClassifier(good.Classifier):
    Config = Plain


@fault("task", "options_declare_what_it_solves")
class ShyDetector(good.Detector):
    Config = Classifies


@fault("task", "detections_are_objects")
class RisingScores(good.Detector):
    def predict(self, logits: Tensor) -> tuple[Detections, ...]:
        return tuple(replace(found, scores=found.scores.flip(0)) for found in super().predict(logits))


@fault("task", "loss_of_images_without_objects_is_finite")
class MeanOverObjects(good.Detector):
    def loss(self, logits: Tensor, target: tuple[Boxes, ...]) -> Tensor:
        return super().loss(logits, target) / sum(len(boxes.classes) for boxes in target)


@fault("task", "ignored_images_do_not_affect_the_loss")
class NothingSpared(good.Detector):
    def loss(self, logits: Tensor, target: tuple[Boxes, ...]) -> Tensor:
        return super().loss(logits, target) + logits.sigmoid().mean()


@fault("task", "logits_are_finite")
class DoubleLogits(good.Task):
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image).double()


@fault("task", "classes_are_those_of_the_data")
class NothingIgnored(good.Task):
    def __init__(self, config: Any = None, context: Any = None) -> None:
        super().__init__(config, context)
        self.ignored = frozenset()


@fault("task", "predictions_are_label_maps")
class FloatPrediction(good.Task):
    def predict(self, logits: Tensor) -> Tensor:
        return super().predict(logits).float()


@fault("task", "loss_is_differentiable")
class ListedLoss(good.Task):
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        return super().loss(logits, target).reshape(1)


@fault("task", "target_is_not_changed")
class ErasingLoss(good.Task):
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        loss = super().loss(logits, target.clone())
        target.zero_()
        return loss


@fault("task", "loss_of_unlabelled_images_is_finite")
class PlainCrossEntropy(good.Task):
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target, ignore_index=255)


@fault("task", "ignored_pixels_do_not_affect_the_loss")
class LabelledVoid(good.Task):
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target.masked_fill(target == 255, 0))


@fault("task", "second_order_is_correct")
class RoughTask(good.Task):
    def forward(self, image: Tensor) -> Tensor:
        return once(super().forward(image))


# Stages -----------------------------------------------------------------------------------------------------


@fault("stage", "state_has_the_size_of_the_sources")
class MixedMemory(good.Stage):
    def forward(self, state: Any, sources: Any, guidance: Any = None) -> Any:
        after = super().forward(state, sources)
        return replace(after, memory={**after.memory, "mean": after.fused.mean(dim=0, keepdim=True)})


@fault("stage", "image_is_an_image")
class GlaringStage(good.Stage):
    def forward(self, state: Any, sources: Any, guidance: Any = None) -> Any:
        after = super().forward(state, sources)
        return replace(after, fused=4.0 * after.fused - 1.0)


@fault("stage", "state_advances")
class Standing(good.Stage):
    def forward(self, state: Any, sources: Any, guidance: Any = None) -> Any:
        return replace(super().forward(state, sources), index=0)


@fault("stage", "input_state_is_not_changed")
class Writing(good.Stage):
    def forward(self, state: Any, sources: Any, guidance: Any = None) -> Any:
        after = super().forward(state, sources)
        state.memory["seen"] = state.fused
        return after


@fault("stage", "works_without_guidance")
class DependentStage(good.Stage):
    def forward(self, state: Any, sources: Any, guidance: Any = None) -> Any:
        guidance.attribution()
        return super().forward(state, sources)


@fault("stage", "can_be_differentiated_twice")
class RoughStage(good.Stage):
    def forward(self, state: Any, sources: Any, guidance: Any = None) -> Any:
        after = super().forward(state, sources)
        return replace(after, fused=once(after.fused))


# Metrics ----------------------------------------------------------------------------------------------------


@fault("metric", "declares_what_it_is")
class NoDialect(good.Distance):
    dialect = ""


@fault("metric", "value_is_a_number")
class TensorValue(good.Distance):
    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        return MetricValue(super().measure(fused, sources).value, (1.0,))


@fault("metric", "extremes_are_numbers_or_undefined")
class Unbounded(good.Distance):
    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        value = super().measure(fused, sources).value
        return MetricValue(-math.log(value) if value else math.inf)


@fault("metric", "value_does_not_depend_on_earlier_calls")
class Running(good.Distance):
    total = 0.0

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        self.total += super().measure(fused, sources).value
        return MetricValue(self.total)


@fault("metric", "images_are_not_changed")
class Darkening(good.Distance):
    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        fused.clamp_(max=100)
        return super().measure(fused, sources)


@fault("metric", "works_at_its_smallest_size")
class Windowed(good.Distance):
    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        if min(fused.shape) < 8:
            raise RuntimeError("kernel size can't be greater than input size")
        return super().measure(fused, sources)


@fault("metric", "map_is_of_the_image")
class Halved(good.Distance):
    def map(self, fused: Tensor, sources: Sequence[Tensor]) -> Tensor:
        return 1.0 - (fused[::2, ::2].double() - sources[0][::2, ::2].double()).abs() / 255.0


@fault("metric", "wrong_images_are_refused")
class Tolerant(good.Distance):
    def __call__(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        return self.measure(fused, sources)


@fault("metric", "direction_is_the_declared_one")
class UpsideDown(good.IdealDistance):
    higher_is_better = True


@fault("metric", "undefined_without_the_ideal")
class Guessing(good.IdealDistance):
    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        return MetricValue(0.0)


# Guidance ---------------------------------------------------------------------------------------------------


class Answering(toys.ToyGuidance):
    """What faulty guidance changes."""


class Making(good.Saliency):
    """Makes guidance of a class of its own."""

    answers: type[toys.ToyGuidance] = Answering

    def of(self, task: Any, sources: Any, labels: Any = None) -> toys.ToyGuidance:
        return self.answers(task, sources, labels)


@fault("guidance", "options_declare_the_task_network")
class Undeclared(good.Saliency):
    Config = Plain


@fault("guidance", "results_have_the_size_of_the_sources")
class Halving(Making):
    class answers(Answering):
        def task_gradient(self, image: Tensor) -> Tensor:
            even = [side - side % 2 for side in image.shape[-2:]]
            return super().task_gradient(image[..., : even[0], : even[1]])

        @cached_property
        def _attribution(self) -> RegionAttribution:
            whole = toys.ToyGuidance(self.task, self.sources, self.labels)
            return whole.attribution()


@fault("guidance", "regions_are_indices_of_scores")
class Named(Making):
    class answers(Answering):
        def attribution(self) -> RegionAttribution:
            return replace(super().attribution(), names=("cell",))


@fault("guidance", "scores_are_not_negative")
class Signed(Making):
    class answers(Answering):
        def attribution(self) -> RegionAttribution:
            found = super().attribution()
            return replace(found, scores=-found.scores)


@fault("guidance", "works_with_labels_and_without")
class Sparse(Making):
    def of(self, task: Any, sources: Any, labels: Any = None) -> toys.ToyGuidance:
        return super().of(task, sources, None if labels is None else labels[..., None].squeeze(1))


@fault("guidance", "task_network_is_not_changed")
class Leaving(Making):
    class answers(Answering):
        def task_gradient(self, image: Tensor) -> Tensor:
            found = super().task_gradient(image)
            self.task.eval()
            return found


@fault("guidance", "attribution_is_computed_once")
class Recomputing(Making):
    class answers(Answering):
        def attribution(self) -> RegionAttribution:
            return toys.ToyGuidance(self.task, self.sources, self.labels).attribution()


@fault("guidance", "results_are_detached")
class Attached(Making):
    def of(self, task: Any, sources: Any, labels: Any = None) -> toys.ToyGuidance:
        made = super().of(task, sources, labels)
        made.sources = sources
        return made


@fault("guidance", "works_with_gradients_disabled")
class Trusting(Making):
    class answers(Answering):
        def task_gradient(self, image: Tensor) -> Tensor:
            image = image.detach().requires_grad_()
            with undisturbed(self.task):
                (gradient,) = torch.autograd.grad(self.task(image).square().mean(dim=(1, 2, 3)).sum(), image)
            return gradient


@fault("guidance", "sources_are_not_changed")
class Overexposing(Making):
    def of(self, task: Any, sources: Any, labels: Any = None) -> toys.ToyGuidance:
        with torch.no_grad():
            for source in sources:
                source.clamp_(max=0.5)
        return super().of(task, sources, labels)


@fault("guidance", "images_of_a_batch_are_independent")
class Sharing(Making):
    class answers(Answering):
        def attribution(self) -> RegionAttribution:
            found = super().attribution()
            return replace(found, scores=found.scores / found.scores.sum(dim=0, keepdim=True).clamp_min(1e-12))


@fault("guidance", "results_are_reproducible")
class Fading(Making):
    def __init__(self, config: Any = None, context: Any = None) -> None:
        super().__init__(config, context)
        self.factor = float(next(_builds))

    def of(self, task: Any, sources: Any, labels: Any = None) -> toys.ToyGuidance:
        return super().of(task, tuple(source / self.factor for source in sources), labels)


# Pathways ---------------------------------------------------------------------------------------------------


@fault("pathway", "there_is_a_path_for_every_source")
class FirstOnly(good.Line):
    def paths(self, sources: Any) -> Sequence[AttributionPath]:
        return [self.path(sources, 0)]


@fault("pathway", "points_and_increments_match")
class DoubleSteps(good.Line):
    def path(self, sources: Any, index: int) -> AttributionPath:
        path = super().path(sources, index)
        return AttributionPath(path.points, path.increments.double())


@fault("pathway", "path_ends_at_the_source")
class Overshooting(good.Line):
    def path(self, sources: Any, index: int) -> AttributionPath:
        path = super().path(sources, index)
        return AttributionPath(1.1 * path.points, 1.1 * path.increments)


@fault("pathway", "increments_add_up")
class LongSteps(good.Line):
    def path(self, sources: Any, index: int) -> AttributionPath:
        path = super().path(sources, index)
        return AttributionPath(path.points, path.points)


@fault("pathway", "sources_are_not_changed")
class OverwritingLine(good.Line):
    def path(self, sources: Any, index: int) -> AttributionPath:
        sources[index].clamp_(max=0.5)
        return super().path(sources, index)


@fault("pathway", "images_of_a_batch_are_independent")
class FromTheMean(good.Line):
    def start(self, sources: Any, index: int) -> Tensor:
        return sources[index].mean(dim=0, keepdim=True).expand_as(sources[index])


@fault("pathway", "paths_are_reproducible")
class Wandering(good.Line):
    def __init__(self, config: Any = None, context: Any = None) -> None:
        self.shade = 1.0 / next(_builds)

    def start(self, sources: Any, index: int) -> Tensor:
        return torch.full_like(sources[index], self.shade)


# Datasets ---------------------------------------------------------------------------------------------------


@fault("dataset", "config_declares_the_roles")
class TwinRoles(good.Noise):
    class Config(SceneConfig):
        def roles(self) -> tuple[str, ...]:
            return ("near", "near")


@fault("dataset", "config_declares_the_provenance")
class Nameless(good.Noise):
    class Config(SceneConfig):
        def provenance(self) -> Provenance:
            return Provenance(" ")


@fault("dataset", "config_declares_the_classes")
class IgnoredClass(good.Noise):
    class Config(SceneConfig):
        def classes(self) -> ClassTable | None:
            return ClassTable(("sky", "road", *map(str, range(254))), ((0, 0, 0),) * 256)


@fault("dataset", "config_describes_missing_files")
class Lost(good.Noise):
    class Config(SceneConfig):
        def missing(self, root: Path | None) -> str | None:
            if root is not None:
                raise FileNotFoundError(root)
            return None


@fault("dataset", "scene_ids_are_unique")
class TwinNames(good.Noise):
    ids = ("one", "two", "one")  # type: ignore[assignment]


@fault("dataset", "order_is_reproducible")
class Shuffled(good.Noise):
    def __init__(self, config: Any, root: Path | None, split: str, *, seed: int = 0) -> None:
        super().__init__(config, root, split, seed=seed)
        self.number = next(_builds)

    @property
    def ids(self) -> Sequence[str]:
        return [f"{self.number}-{n}" for n in range(3)]


@fault("dataset", "scenes_match_their_ids")
class Misnamed(good.Noise):
    def __getitem__(self, index: int) -> Sample:
        return replace(super().__getitem__(index), id="scene")


@fault("dataset", "reading_is_reproducible")
class Noisy(good.Noise):
    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        grain = os.urandom(1)[0] / 256 + next(_builds) / 1e6
        return replace(sample, images=(sample.images[0] * (grain % 1), sample.images[1]))


@fault("dataset", "images_are_images")
class Levels(good.Noise):
    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        return replace(sample, images=(sample.images[0] * 255, sample.images[1]))


@fault("dataset", "labels_are_in_the_class_table")
class StrangeLabels(good.Noise):
    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        assert sample.label is not None
        return replace(sample, label=sample.label + 1)


@fault("dataset", "boxes_are_in_their_image")
class BoxBeyond(good.Noise):
    class Config(SceneConfig):
        def annotations(self) -> frozenset[str]:
            return frozenset({"labels", "boxes"})

    def __getitem__(self, index: int) -> Sample:
        corners, kinds = torch.tensor([[0.0, 0.0, 12.0, 10.0]]), torch.tensor([0])  # height and width confused
        return replace(super().__getitem__(index), boxes=Boxes(corners, kinds, torch.tensor([False])))


@fault("dataset", "ideals_are_images")
class GlaringIdeal(good.Noise):
    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        assert sample.ideal is not None
        return replace(sample, ideal=sample.ideal * 2)


# Strategies -------------------------------------------------------------------------------------------------


@fault("strategy", "it_trains")
class NotANumber(good.Towards):
    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        super().step(plan, batches)
        return StepRecord({"distance": math.nan})


@fault("strategy", "declared_parts_are_trained")
class Boasting(good.Towards):
    class Config(TrainsBackbone):
        def trains(self) -> frozenset[str]:
            return frozenset({"backbone", "task"})


@fault("strategy", "other_parts_are_not_changed")
class Meddling(good.Towards):
    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        assert self.training.proposer is not None
        with torch.no_grad():
            for weight in self.training.proposer.parameters():
                weight.add_(0.1)
        return super().step(plan, batches)


@fault("strategy", "no_gradient_is_left_behind")
class Littering(good.Towards):
    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        assert self.training.task is not None
        self.training.task(batches[0].sources[0]).square().mean().backward()
        return super().step(plan, batches)


@fault("strategy", "batches_are_not_changed")
class OverwritingStrategy(good.Towards):
    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        batches[0].sources[0].clamp_(max=0.5)
        return super().step(plan, batches)


@fault("strategy", "streams_are_declared")
class Straying(good.Towards):
    def plan(self, batches: int) -> Sequence[StepPlan]:
        return [StepPlan("train", ("elsewhere",))] * batches


@fault("strategy", "declared_losses_are_computed")
class Untold(good.Towards):
    def losses(self, batch: Batch) -> Mapping[str, float]:
        return {"length": 0.0}


@fault("strategy", "resumed_training_equals_uninterrupted")
class Ageing(good.Towards):
    def loss(self, batch: Batch) -> Tensor:
        fused = self.training.backbone(batch.sources).image
        return super().loss(batch) + (self.steps - 1) * fused.mean()


# Objectives -------------------------------------------------------------------------------------------------


@fault("objective", "evaluator_is_a_part_of_the_model")
class OwnJudge(good.Recovery):
    def evaluator(self, training: Any) -> nn.Module:
        evaluator: nn.Module = toys.seeded_toy(toys.ToyReconstruction, ("a", "b"), None)
        return evaluator


@fault("objective", "loss_is_a_number")
class ManyNumbers(good.Recovery):
    def loss(self, evaluator: nn.Module, fused: Tensor, batch: Batch) -> LossTerms:
        return LossTerms(super().loss(evaluator, fused, batch).total, {"brightness": fused.mean(dim=(1, 2, 3))})


@fault("objective", "loss_reaches_the_fused_images")
class Detached(good.Recovery):
    def loss(self, evaluator: nn.Module, fused: Tensor, batch: Batch) -> LossTerms:
        return super().loss(evaluator, fused.detach(), batch)


@fault("objective", "loss_reaches_the_evaluator")
class Deaf(good.Recovery):
    def loss(self, evaluator: nn.Module, fused: Tensor, batch: Batch) -> LossTerms:
        frozen = {name: weight.detach() for name, weight in evaluator.named_parameters()}

        class Frozen(nn.Module):
            def forward(self, image: Tensor) -> Any:
                return functional_call(evaluator, frozen, (image,))

        return super().loss(Frozen(), fused, batch)


@fault("objective", "batch_and_images_are_not_changed")
class OverwritingObjective(good.Recovery):
    def loss(self, evaluator: nn.Module, fused: Tensor, batch: Batch) -> LossTerms:
        fused.data.clamp_(max=0.5)
        return super().loss(evaluator, fused, batch)


@fault("objective", "missing_labels_are_refused")
class Unaware(good.Recovery):
    class Config(ComponentConfig):
        def needs(self) -> frozenset[str]:
            return frozenset({"reconstruction", "labels"})


# Loss terms -------------------------------------------------------------------------------------------------


@fault("loss-term", "options_have_a_weight")
class Weightless(good.ToTheMean):
    class Config(ComponentConfig):
        pass


@fault("loss-term", "value_is_a_number")
class ValueOfEachImage(good.ToTheMean):
    def __call__(self, image: Tensor, sources: Any, proposal: LossProposal | None) -> Tensor:
        return (image - sources[0]).square().mean(dim=(1, 2, 3))


@fault("loss-term", "gradient_reaches_the_image")
class DetachedTerm(good.ToTheMean):
    def __call__(self, image: Tensor, sources: Any, proposal: LossProposal | None) -> Tensor:
        return super().__call__(image.detach(), sources, proposal)


@fault("loss-term", "gradient_reaches_the_weights")
class DetachedWeights(good.ToTheProposed):
    def __call__(self, image: Tensor, sources: Any, proposal: LossProposal | None) -> Tensor:
        assert proposal is not None
        return super().__call__(image, sources, LossProposal(proposal.weights.detach()))


@fault("loss-term", "can_be_differentiated_twice")
class OnceDifferentiable(good.ToTheMean):
    def __call__(self, image: Tensor, sources: Any, proposal: LossProposal | None) -> Tensor:
        return super().__call__(once(image), sources, proposal)


@fault("loss-term", "flat_images_have_a_gradient")
class RootOfContrast(good.ToTheMean):
    def __call__(self, image: Tensor, sources: Any, proposal: LossProposal | None) -> Tensor:
        variance = (image - image.mean(dim=(1, 2, 3), keepdim=True)).square().mean(dim=(1, 2, 3))
        return super().__call__(image, sources, proposal) - variance.sqrt().mean()


@fault("loss-term", "takes_any_number_of_sources")
class PairsOnly(good.ToTheMean):
    def __call__(self, image: Tensor, sources: Any, proposal: LossProposal | None) -> Tensor:
        first, second = sources
        return super().__call__(image, (first, second), proposal)


@fault("loss-term", "value_is_the_mean_over_the_batch")
class SumOverTheBatch(good.ToTheMean):
    def __call__(self, image: Tensor, sources: Any, proposal: LossProposal | None) -> Tensor:
        return len(image) * super().__call__(image, sources, proposal)


@fault("loss-term", "undeclared_weights_are_not_used")
class UndeclaredProposer(good.ToTheMean):
    def __call__(self, image: Tensor, sources: Any, proposal: LossProposal | None) -> Tensor:
        value = super().__call__(image, sources, proposal)
        return value if proposal is None else value * proposal.weights[:, 0].mean()


@fault("loss-term", "inputs_are_not_changed")
class OverwritingTerm(good.ToTheMean):
    def __call__(self, image: Tensor, sources: Any, proposal: LossProposal | None) -> Tensor:
        sources[0].clamp_(max=0.5)
        return super().__call__(image, sources, proposal)


@fault("loss-term", "results_are_reproducible")
class GrowingTerm(good.ToTheMean):
    def __init__(self, config: Any = None, context: Any = None) -> None:
        super().__init__(config, context)
        self.factor = float(next(_builds))

    def __call__(self, image: Tensor, sources: Any, proposal: LossProposal | None) -> Tensor:
        return self.factor * super().__call__(image, sources, proposal)


# Transforms -------------------------------------------------------------------------------------------------


@fault("transform", "options_are_those_of_a_transform")
class WithoutRoles(good.Weaker):
    class Config(ComponentConfig):
        pass

    def __init__(self, config: Any = None, context: Any = None) -> None:
        self.config, self.context, self.roles = good.Weaker.Config(), context, context.roles


@fault("transform", "declares_whether_it_moves_content")
class UndeclaredMotion(good.Weaker):
    moves_content: Any = "a little"


@fault("transform", "images_are_valid")
class LosesTheLastRow(good.Weaker):
    def change(self, source: Tensor, role: str, severity: Any, random: Any) -> Tensor:
        found = super().change(source, role, severity, random)
        return found[:, :-1] if source.shape[-1] == 47 else found


@fault("transform", "extremes_are_valid")
class BeyondWhite(good.Weaker):
    def change(self, source: Tensor, role: str, severity: Any, random: Any) -> Tensor:
        return super().change(source, role, severity, random) + (source == 1.0).float()


@fault("transform", "severities_increase")
class HeaviestFirst(good.Weaker):
    def change(self, source: Tensor, role: str, severity: Any, random: Any) -> Tensor:
        return super().change(source, role, "light" if severity == "heavy" else severity, random)


@fault("transform", "seed_determines_the_result")
class OwnGenerator(good.Weaker):
    own = np.random.default_rng(0)

    def change(self, source: Tensor, role: str, severity: Any, random: Any) -> Tensor:
        return super().change(source, role, severity, self.own)


@fault("transform", "inputs_are_not_changed")
class OverwritingTransform(good.Weaker):
    def change(self, source: Tensor, role: str, severity: Any, random: Any) -> Tensor:
        found = super().change(source, role, severity, random)
        source[:, 0, 0] = 0.5
        return found


@fault("transform", "only_its_roles_are_changed")
class EveryRole(good.Weaker):
    def __init__(self, config: Any = None, context: Any = None) -> None:
        super().__init__(config, context)
        self.roles = self.context.roles


@fault("transform", "unknown_roles_are_refused")
class AnyRole(good.Weaker):
    class Config(good.Weaker.Config):  # type: ignore[name-defined, misc]
        def changed_roles(self, roles: tuple[str, ...]) -> tuple[str, ...]:
            return self.roles or roles


@fault("transform", "the_rest_of_the_scene_is_kept")
class WithoutIdeal(good.Weaker):
    def __call__(self, sample: Sample, severity: Any, random: Any) -> Sample:
        return replace(super().__call__(sample, severity, random), ideal=None)


# Importers --------------------------------------------------------------------------------------------------


def released(_: Any) -> dict[str, Tensor]:
    """What a file of theirs holds."""
    weights = toys.seeded_toy(toys.ToyBackbone, ("a", "b"), None).state_dict()
    return {f"their.{name}": value for name, value in weights.items()}


@fault("importer", "unsupported_files_are_refused", attributes={"released": released})
class Surprised(good.Release):
    def convert(self, released: Any) -> ImportedWeights:
        released["their.score.0.weight"]
        return super().convert(released)


@fault("importer", "weights_fit_the_model", attributes={"released": released})
class Dropping(good.Release):
    def convert(self, released: Any) -> ImportedWeights:
        made = super().convert(released)
        return replace(made, state={name: w for name, w in made.state.items() if not name.endswith("bias")})


@fault("importer", "released_content_is_not_changed", attributes={"released": released})
class Emptying(good.Release):
    def convert(self, released: Any) -> ImportedWeights:
        made = super().convert(released)
        released.clear()
        return made


# Observers --------------------------------------------------------------------------------------------------


@fault("observer", "hooks_exist")
class Unmarked(good.Diary):
    def fusekit_validated(self, step: int) -> None:
        self.best = step


@fault("observer", "observes_a_complete_run")
class Optimist(good.Diary):
    @hookimpl
    def fusekit_validated(self, value: float) -> None:
        self.text = f"{value:.3f}"


@fault("observer", "observes_a_resumed_run")
class Pioneer(good.Diary):
    @hookimpl
    def fusekit_run_started(self, folder: Path) -> None:
        super().fusekit_run_started(folder)
        self.file.touch(exist_ok=False)


@fault("observer", "observes_a_run_that_fails_early")
class Confident(good.Diary):
    @hookimpl
    def fusekit_phase_started(self, phase: str) -> None:
        self.phase = phase

    @hookimpl
    def fusekit_run_finished(self) -> None:
        self.last = self.phase
