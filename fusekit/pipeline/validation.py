"""Validation of a run's training: which scenes it looks at, and what it measures on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from fusekit import seeds
from fusekit.data.scene_subset import SceneSubset
from fusekit.data.training_data import TrainingData
from fusekit.errors import DataError
from fusekit.evaluation.benchmark import Benchmark, Method, mean
from fusekit.fusing.engine import Engine
from fusekit.fusing.scenes import TensorScene
from fusekit.interfaces.config import ComponentRef
from fusekit.interfaces.dataset import FusionDataset
from fusekit.interfaces.metric import Metric
from fusekit.interfaces.strategy import Strategy
from fusekit.model.assembly import Builder, build_dataset
from fusekit.model.system import FusionSystem
from fusekit.recipe.fuse_options import FuseOptions
from fusekit.recipe.recipe import Recipe
from fusekit.recipe.schema import SamplingSection, TrainSection
from fusekit.training.validation import LossOfStrategy, Validator


@dataclass(frozen=True)
class TrainingScenes:
    """The scenes that a run trains on, and those that it does not.

    Attributes:
        trained: What all phases train on.
        held_out: Identifiers of training scenes that no phase trains on.
        validated: What each phase with a ``validate`` section is validated on.
    """

    trained: FusionDataset
    held_out: tuple[str, ...]
    validated: Mapping[str, FusionDataset]


def divide_scenes(recipe: Recipe, phases: Mapping[str, TrainSection]) -> TrainingScenes:
    """Takes the largest holdout of any phase out of the training split; phases are validated on their shares of it.

    Which scenes are held out depends on the seed and their number; a smaller share is part of a larger one.

    Raises:
        DataError: A split is not there, or nothing would be left to train on.
    """
    every = build_dataset(recipe, "train")
    order = [int(number) for number in seeds.stream(recipe.model.seed, "holdout").permutation(len(every))]
    wanted = {
        phase: max(1, round(section.validation.holdout * len(every)))
        for phase, section in phases.items()
        if section.validation is not None and section.validation.holdout is not None
    }
    held = max(wanted.values(), default=0)
    if held and held >= len(every):
        raise DataError(
            f"the training split has {len(every)} scenes, of which {held} would be held out for validation: none is "
            "left to train on",
            hint="lower validate.holdout, or give the data a validation split of its own",
        )
    validated: dict[str, FusionDataset] = {}
    for phase, section in phases.items():
        if section.validation is None:
            continue
        scenes = SceneSubset(every, order[: wanted[phase]]) if phase in wanted else build_dataset(recipe, "val")
        limit = section.validation.limit
        validated[phase] = scenes if limit is None else SceneSubset(scenes, range(min(limit, len(scenes))))
    if not held:
        return TrainingScenes(every, (), validated)
    kept = sorted(order[held:])
    return TrainingScenes(SceneSubset(every, kept), tuple(SceneSubset(every, sorted(order[:held])).ids), validated)


def make_validator(
    recipe: Recipe,
    section: TrainSection,
    scenes: FusionDataset,
    system: FusionSystem,
    strategy: Strategy,
    device: torch.device,
) -> Validator:
    """What a phase's ``validate`` section describes.

    Raises:
        DataError: There is no scene.
        PluginError: The metric cannot be built.
    """
    settings = section.validation
    assert settings is not None
    if len(scenes) == 0:
        raise DataError("the validation split has no scene")
    if settings.loss is not None:
        whole = SamplingSection(mode="full", resize=section.sampling.resize)
        data = TrainingData(scenes, whole, 1, seed=recipe.model.seed, colour=system.backbone.colour)
        return LossOfStrategy(strategy, settings.loss, data, device)
    assert settings.metric is not None
    builder = Builder(system.roles, system.classes, recipe.registry)
    metric: Metric = builder.build("metric", ComponentRef(use=settings.metric))
    engine = Engine(system, FuseOptions(range=settings.range), device=device)
    return MetricOfFused(settings.metric, metric, scenes, engine)


class MetricOfFused:
    """A metric of the fused scenes, measured as the evaluation of a run does it.

    Args:
        name: Name of the metric component.
        metric: The metric.
        scenes: What is fused.
        engine: What fuses.
    """

    is_metric = True

    def __init__(
        self,
        name: str,
        metric: Metric,
        scenes: FusionDataset,
        engine: Engine,
    ) -> None:
        self.name = name
        self.metric = metric
        self.scenes = scenes
        self.engine = engine
        self.higher_is_better = metric.higher_is_better

    def __len__(self) -> int:
        return len(self.scenes)

    def measure(self, number: int) -> float:
        """The metric of one scene, NaN where it is undefined.

        Raises:
            DataError: The scene cannot be read.
        """
        sample = self.scenes[number]
        # Without labels, as at test time.
        fused = self.engine.fuse(TensorScene(sample.images), measure=True).measured
        assert fused is not None
        benchmark = Benchmark([Method(self.name)], {self.name: self.metric})
        benchmark.add_scene(sample.id, sample.images, None, [fused], sample.ideal)
        return benchmark.scores[0].values[self.name][0]

    def mean(self, values: Sequence[float]) -> float:
        """The mean of the values that are defined, as tables have it; NaN where none is."""
        return mean(values)
