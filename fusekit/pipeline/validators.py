"""Validation of a run's training: the scenes that are used, and the measure that is computed on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from fusekit import seeds
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
from fusekit.pipeline.scene_subset import SceneSubset
from fusekit.recipe.fuse_options import FuseOptions
from fusekit.recipe.recipe import Recipe
from fusekit.recipe.schema import SamplingSection, TrainSection
from fusekit.training.validation import LossValidator, Validator


@dataclass(frozen=True)
class TrainingScenes:
    """The training and validation scenes of a run.

    Attributes:
        trained: Scenes on which all phases are trained.
        held_out: Identifiers of training scenes on which no phase is trained.
        validated: Validation scenes of each phase with a ``validate`` section.
    """

    trained: FusionDataset
    held_out: tuple[str, ...]
    validated: Mapping[str, FusionDataset]


def split_scenes(recipe: Recipe, phases: Mapping[str, TrainSection]) -> TrainingScenes:
    """Holds out the largest holdout of any phase from the training split; phases are validated on their shares of it.

    The held-out scenes depend on the seed and the number of scenes; a smaller share is a subset of a larger one.

    Raises:
        DataError: A split does not exist, or no scene would be left for training.
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
            f"the training split has {len(every)} scenes, of which {held} would be held out for validation, so none "
            "is left for training",
            hint="lower validate.holdout, or add a separate validation split to the data",
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
    """The validator that a phase's ``validate`` section describes.

    Raises:
        DataError: There are no validation scenes.
        PluginError: The metric cannot be built.
    """
    settings = section.validation
    assert settings is not None
    if len(scenes) == 0:
        raise DataError("the validation split has no scenes")
    if settings.loss is not None:
        full = SamplingSection(mode="full", resize=section.sampling.resize)
        data = TrainingData(scenes, full, 1, seed=recipe.model.seed, colour=system.backbone.colour)
        return LossValidator(strategy, settings.loss, data, device)
    assert settings.metric is not None
    builder = Builder(system.roles, system.classes, recipe.registry)
    metric: Metric = builder.build("metric", ComponentRef(use=settings.metric))
    engine = Engine(system, FuseOptions(range=settings.range), device=device)
    return MetricValidator(settings.metric, metric, scenes, engine)


class MetricValidator:
    """Validator that measures a metric of the fused scenes, computed as in the evaluation stage.

    Args:
        name: Name of the metric component.
        metric: The metric.
        scenes: Scenes that are fused and measured.
        engine: Engine that fuses them.
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
        """The metric of one scene; NaN if it is undefined.

        Raises:
            DataError: The scene cannot be read.
        """
        sample = self.scenes[number]
        # Guidance gets no labels, as at test time.
        fused = self.engine.fuse(TensorScene(sample.images), measure=True).measured
        assert fused is not None
        benchmark = Benchmark([Method(self.name)], {self.name: self.metric})
        benchmark.add_scene(sample.id, sample.images, None, [fused], sample.ideal)
        return benchmark.scores[0].values[self.name][0]

    def mean(self, values: Sequence[float]) -> float:
        """The mean of the defined values, as in tables; NaN if there are none."""
        return mean(values)
