"""Builds objects from a validated recipe: the model's parts, datasets and strategies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from fusekit.errors import FusekitError, PluginError, UsageError
from fusekit.interfaces.config import ComponentConfig, ComponentRef
from fusekit.interfaces.context import BuildContext, ClassTable
from fusekit.interfaces.dataset import FusionDataset, Split
from fusekit.interfaces.strategy import Strategy
from fusekit.interfaces.task import SegmentationNetwork, TaskNetwork
from fusekit.model.parts import check_origin, freeze, load_part
from fusekit.model.system import FusionSystem
from fusekit.plugin.registry import Registry
from fusekit.plugin.registry import registry as installed
from fusekit.recipe.components import configure
from fusekit.recipe.part_files import parts_from_files
from fusekit.recipe.recipe import Recipe
from fusekit.recipe.schema import ModelSection, PartComponentRef, TrainSection
from fusekit.recipe.strict import validate_plain
from fusekit.seeds import stream_seed

_PART = {"weights_from", "freeze"}
_NOT_DESCRIBED = {"backbone": _PART, "proposer": _PART, "reconstruction": _PART, "task": _PART}
"""A model file has all weights, so it does not say where they came from."""


class Builder:
    """Builds components by reference, nested ones included.

    Args:
        roles: Roles of the sources.
        classes: Class table of the data, or None.
        components: Registry in which names are looked up (default: the registry of the process).
        pretrained: Whether components may start from pretrained weights.
    """

    def __init__(
        self,
        roles: tuple[str, ...],
        classes: ClassTable | None,
        components: Registry | None = None,
        *,
        pretrained: bool = True,
    ) -> None:
        self.registry = components or installed()
        self.context = BuildContext(roles=roles, classes=classes, pretrained=pretrained, builder=self.build)

    def build(self, kind: str, ref: ComponentRef) -> Any:
        """Builds the component that a reference names.

        Raises:
            PluginError: The component does not exist, or building it fails because of a bug in its plugin.
            UsageError: Its parameters are not valid.
        """
        config = configure(kind, ref, self.registry)  # wrong parameters are refused before anything is imported
        found = self.registry.component_class(kind, ref.use)
        try:
            return found(config, self.context)
        except FusekitError:
            raise
        except ValueError as error:
            raise UsageError(f"{kind} {ref.use!r} does not accept its parameters: {error}") from error
        except Exception as error:
            raise PluginError(
                f"{kind} {ref.use!r} failed while it was built: {type(error).__name__}: {error}",
                hint=f"fusekit plugins show {ref.use.partition('.')[0]} shows the plugin that provides it",
            ) from error


def build_system(
    section: ModelSection,
    *,
    roles: tuple[str, ...],
    classes: ClassTable | None,
    seed: int = 0,
    components: Registry | None = None,
    pretrained: bool = True,
) -> FusionSystem:
    """Builds the parts of a ``model`` section; the initial parameters depend on `seed` alone.

    The global random state is not changed.

    Args:
        section: The ``model`` section.
        roles: Roles of the sources.
        classes: Class table of the data, or None.
        seed: Seed of the initial parameters.
        components: Registry in which names are looked up (default: the registry of the process).
        pretrained: Whether parts may start from pretrained weights; False if other weights will replace them.
    """
    registry = components or installed()

    def part(kind: str, ref: ComponentRef | None) -> Any:
        if ref is None:
            return None
        # One random stream per part: swapping one part does not change the initial parameters of the others.
        torch.manual_seed(stream_seed(seed, "init", kind))
        replaced = isinstance(ref, PartComponentRef) and ref.weights_from is not None
        return Builder(roles, classes, registry, pretrained=pretrained and not replaced).build(kind, ref)

    with torch.random.fork_rng():
        task = part("task", section.task)
        if section.task is not None:
            check_solves(configure("task", section.task, registry), section.task.use, task)
        return FusionSystem(
            part("backbone", section.backbone),
            proposer=part("loss-proposer", section.proposer),
            reconstruction=part("reconstruction", section.reconstruction),
            task=task,
            guidance=part("guidance", section.guidance),
            roles=roles,
            classes=classes,
            description=section.model_dump(mode="json", exclude_none=True, exclude=_NOT_DESCRIBED),
        )


def assemble(recipe: Recipe) -> FusionSystem:
    """Builds the system that a recipe describes: untrained, but for the parts that come from a model file.

    If the data has no labels, the class table is that of the file from which the task network comes.

    Raises:
        PluginError: A component is missing or broken.
        UsageError: The parts do not fit together.
        DataError: A part from a model file does not fit the component, the roles or the classes of the recipe.
    """
    config, section = recipe.data_config, recipe.model.model
    files = parts_from_files(section)
    classes = config.classes()
    for name, path in files.items():
        classes = check_origin(name, path, config.roles(), classes)
    system = build_system(
        section, roles=config.roles(), classes=classes, seed=recipe.model.seed, components=recipe.registry
    )
    for name, part in system.parts().items():
        if name in files:
            load_part(part, name, files[name])
        if getattr(section, name).freeze:
            freeze(part)
    return system


def build_dataset(recipe: Recipe, split: Split) -> FusionDataset:
    """Builds one split of the recipe's dataset.

    Raises:
        DataError: The data is missing, or its files do not form pairs.
    """
    section = recipe.model.data
    found = recipe.registry.component_class("dataset", section.use)
    seed = stream_seed(recipe.model.seed, "data")
    dataset: FusionDataset = found(recipe.data_config, recipe.data_root, split, seed=seed)
    return dataset


def build_strategy(recipe: Recipe, section: TrainSection, system: FusionSystem) -> Strategy:
    """Builds the strategy of a training phase, and checks it against the system.

    Raises:
        UsageError: The strategy differentiates the task network twice, which the network does not support.
    """
    builder = Builder(system.roles, system.classes, recipe.registry)
    strategy: Strategy = builder.build("strategy", section.strategy)
    config = recipe.config("strategy", section.strategy)
    check_second_order(config, section.strategy.use, system)
    return strategy


def check_second_order(config: ComponentConfig, name: str, system: FusionSystem) -> None:
    """Refuses a task network without second derivatives if the strategy needs them."""
    if config.needs_second_order() and system.task is not None and not system.task.second_order:
        raise UsageError(
            f"strategy {name!r} differentiates the task network twice, but {type(system.task).__name__} with these "
            "parameters has no second derivative",
            hint="choose an encoder without hard-sigmoid or fused attention, such as mobilenet_v2 or resnet18",
        )


def check_solves(config: ComponentConfig, name: str, task: TaskNetwork) -> None:
    """Refuses a task network whose Config and class contradict each other: recipes are checked by the Config.

    Raises:
        PluginError: One of the two declares segmentation, and the other does not.
    """
    declared, actual = "segmentation" in config.solves(), isinstance(task, SegmentationNetwork)
    if declared != actual:
        raise PluginError(
            f"task {name!r} cannot be used: solves() of its Config {'names' if declared else 'does not name'} "
            f"segmentation, but its class is {'a' if actual else 'not a'} SegmentationNetwork",
            hint="this is a bug in the plugin; please report it to its authors. solves() of a network for another "
            'task returns the name of that task, such as frozenset({"classification"})',
        )


def model_section(section: Mapping[str, Any]) -> ModelSection:
    """Validates the plain ``model`` section of a model file."""
    return validate_plain(ModelSection, dict(section))
