"""The file of a benchmark: methods, datasets, metrics and what else is measured. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from fusekit.interfaces.config import BackboneRef, NestedKind
from fusekit.interfaces.dataset_config import DatasetConfig
from fusekit.plugin.registry import Registry
from fusekit.plugin.registry import registry as installed
from fusekit.recipe.components import Component, call_config, validate_components
from fusekit.recipe.dataroot import DataRoot, expand_root, root_path
from fusekit.recipe.diagnose import problems_of
from fusekit.recipe.fuse_options import FuseOptions
from fusekit.recipe.problems import Problem, RecipeProblems, TreePath, dotted
from fusekit.recipe.schema import DataSection, MetricName, Section
from fusekit.recipe.strict import validate_plain
from fusekit.recipe.tree import Node, node_from_plain
from fusekit.recipe.yaml_reader import describe, read_yaml
from fusekit.words import nearest

_SOURCES = ("model", "run", "images", "backbone")


class DatasetSection(DataSection):
    """A dataset of the benchmark."""

    name: str | None = Field(None, min_length=1, description="printed name; default: the name of the data")
    split: Literal["train", "val", "test"] = Field("test", description="the split that is used")
    limit: int | None = Field(None, ge=1, description="maximum number of scenes; the first ones are used")
    seed: int = Field(0, ge=0, description="seed of rendered scenes, as `seed` of a recipe")


class MethodSection(Section):
    """A method: exactly one of `model`, `run`, `images` and `backbone`."""

    name: str | None = Field(None, min_length=1, description="printed name; default: that of the model or folder")
    model: str | None = Field(None, description="model file, name of shipped weights, hf:// address, or fusion rule")
    run: str | None = Field(
        None,
        description="folder of a run: its fused images on the data of its recipe, its model on other datasets",
    )
    images: str | None = Field(
        None, description="folder of images that another program fused; `{dataset}` stands for the dataset's name"
    )
    backbone: BackboneRef | None = Field(None, description="a fusion rule with its parameters")
    datasets: list[str] | None = Field(
        None, description="names of the datasets; default: all that have the method's roles, or for images, a folder"
    )
    fuse: FuseOptions | None = Field(None, description="fusion options, where they differ from those of the benchmark")

    @model_validator(mode="after")
    def _one_source(self) -> MethodSection:
        given = [key for key in _SOURCES if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(_SOURCES)}, not {' and '.join(given) or 'none'}")
        if self.images is not None and self.name is None and "{" in self.images:
            raise ValueError("a folder of images with a placeholder needs a `name`")
        return self

    @property
    def printed(self) -> str:
        """Name of the row."""
        if self.name is not None:
            return self.name
        if self.backbone is not None:
            return self.backbone.use.partition(".")[2]
        given = self.model or self.run or self.images or ""
        path = Path(given)
        return path.parent.name if path.name == "model.safetensors" and path.parent.name else path.stem or given


class BootstrapSection(Section):
    """The paired bootstrap against the best baseline."""

    resamples: int = Field(10_000, ge=100, le=1_000_000, description="number of resamples of the images")
    confidence: float = Field(0.95, gt=0, lt=1, description="confidence of the interval")
    seed: int = Field(0, ge=0, description="seed of the resampling")


class CostSection(Section):
    """Measurement of parameters, operations, time and memory."""

    size: tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]] = Field(
        (480, 640), description="height and width of the images that are fused"
    )
    repeats: int = Field(5, ge=1, le=1000, description="number of timed repetitions, after one that is not timed")


class DownstreamSection(Section):
    """Recognition on the images of every method, by a frozen network or by one that is retrained for each method."""

    dataset: str = Field(description="name of a dataset of this benchmark")
    protocol: Literal["frozen", "retrained"] = Field(
        "frozen",
        description="frozen: one network that was trained before is applied to the images of every method; retrained: "
        "the same network is trained on the images of each method, with several seeds",
    )
    network: str | None = Field(
        None, description="frozen: model file, run folder or name of shipped weights with a task network"
    )
    recipe: str | None = Field(
        None,
        description="retrained: recipe that trains a segmentation network alone; its data has the roles of the dataset",
    )
    override: list[str] = Field(
        default_factory=list, description="retrained: changes of the recipe, such as `train.max_steps=100`"
    )
    seeds: list[Annotated[int, Field(ge=0)]] = Field([1, 2, 3], min_length=1, description="retrained: the seeds")
    methods: list[str] | None = Field(None, description="retrained: printed names of the methods; default: all")

    @model_validator(mode="after")
    def _what_the_protocol_needs(self) -> DownstreamSection:
        needed, other = ("network", "recipe") if self.protocol == "frozen" else ("recipe", "network")
        if getattr(self, needed) is None or getattr(self, other) is not None:
            raise ValueError(f"the protocol {self.protocol} needs `{needed}`, and no `{other}`")
        return self


class RobustnessSection(Section):
    """Scores of all methods on degraded sources, against the sources as they were."""

    dataset: str = Field(description="name of a dataset of this benchmark")
    transforms: list[Annotated[str, NestedKind("transform")]] = Field(
        min_length=1, description="names of transform components, such as degradations.noise"
    )
    metrics: list[MetricName] | None = Field(None, description="metrics; default: those of the benchmark")
    limit: int | None = Field(8, ge=1, description="maximum number of scenes, spread over the split")
    seed: int = Field(0, ge=0, description="seed of the degradations")


class BenchmarkModel(Section):
    """A whole file."""

    schema_version: Literal[1] = Field(alias="schema", description="version of this format")
    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="name; the results are written to results/NAME"
    )
    title: str = Field("", description="title of the page; default: the name")
    description: str = Field("", description="what is compared and why, in one or two sentences")
    datasets: list[DatasetSection] = Field(min_length=1, description="the datasets")
    methods: list[MethodSection] = Field(default_factory=list, description="the methods, besides the baselines")
    baselines: list[BackboneRef] | None = Field(
        None, description="baselines of every table; default: those that plugins declare for tables"
    )
    dialects: list[str] = Field(default_factory=list, description="dialects of which all metrics are computed")
    metrics: list[str] = Field(
        default_factory=list, description="metrics; default: those that plugins declare for tables, or of the dialects"
    )
    fuse: FuseOptions = Field(default_factory=FuseOptions, description="fusion options of all methods")
    pictures: int = Field(6, ge=0, le=100, description="number of scenes of each dataset that the page shows")
    bootstrap: BootstrapSection = Field(default_factory=BootstrapSection, description="the paired bootstrap")
    cost: CostSection | None = Field(None, description="measurement of the cost of every method; default: none")
    downstream: list[DownstreamSection] = Field(default_factory=list, description="recognition by frozen networks")
    robustness: list[RobustnessSection] = Field(default_factory=list, description="degraded sources")


@dataclass(frozen=True)
class DatasetEntry:
    """A validated dataset of the file.

    Attributes:
        name: Printed name, unique.
        section: Its section.
        config: Its validated parameters.
        root: Folder of its data.
        unset: The environment variable from which the folder is read, if it is not set.
    """

    name: str
    section: DatasetSection
    config: DatasetConfig
    root: Path | None
    unset: str | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles of its sources."""
        return self.config.roles()


@dataclass(frozen=True)
class BenchmarkFile:
    """A validated benchmark.

    Attributes:
        model: The sections.
        datasets: The datasets in order.
        registry: The registry of the components.
        text: The text of the file.
    """

    model: BenchmarkModel
    datasets: tuple[DatasetEntry, ...]
    registry: Registry = field(compare=False, repr=False)
    text: str = field(compare=False, repr=False, default="")

    @classmethod
    def load(cls, path: str | Path, registry: Registry | None = None) -> BenchmarkFile:
        """Reads and validates a file.

        Raises:
            RecipeProblems: The file is not valid; lists all problems that were found.
            PluginError: A component is missing or broken.
        """
        text, tree = read_yaml(Path(path))
        return cls._validate(tree, text, registry or installed())

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], registry: Registry | None = None) -> BenchmarkFile:
        """Validates a benchmark that is given as plain data, by the rules of a file.

        Raises:
            RecipeProblems: As `load`.
            PluginError: As `load`.
        """
        return cls._validate(node_from_plain(plain), "", registry or installed())

    @classmethod
    def _validate(cls, tree: Node, text: str, registry: Registry) -> BenchmarkFile:
        if not isinstance(tree.value, dict):
            raise RecipeProblems([Problem("", f"a benchmark must be a mapping, not {describe(tree.value)}")])
        tree, given = _with_roots(tree)
        try:
            model = validate_plain(BenchmarkModel, tree.plain())
        except ValidationError as error:
            raise RecipeProblems(problems_of(error, BenchmarkModel, tree)) from None
        components = validate_components(model, registry, tree)
        datasets = tuple(
            _entry(section, ("datasets", index), components, given[index])
            for index, section in enumerate(model.datasets)
        )
        _check_names(model, datasets, tree)
        return cls(model, datasets, registry, text)


def _with_roots(tree: Node) -> tuple[Node, list[DataRoot]]:
    """Replaces environment variables in the roots of the datasets, as a recipe does in ``data.root``."""
    datasets = tree.child("datasets")
    if datasets is None or not isinstance(datasets.value, list):
        return tree, []
    expanded, given = [], []
    for index, entry in enumerate(datasets.value):
        try:
            holder, root = expand_root(tree.with_value({"data": entry}))
        except RecipeProblems as error:
            place = f"datasets.{index}.root"
            raise RecipeProblems([Problem(place, p.message, p.where) for p in error.problems]) from None
        expanded.append(holder.value["data"])
        given.append(root)
    return tree.with_value({**tree.value, "datasets": datasets.with_value(expanded)}), given


def _entry(section: DatasetSection, place: TreePath, components: Sequence[Component], given: DataRoot) -> DatasetEntry:
    component = next(c for c in components if c.reference.path == place)
    config = component.config
    assert isinstance(config, DatasetConfig)
    name = section.name or call_config(component, "provenance").name
    return DatasetEntry(name, section, config, root_path(section.root), given.unset)


def _check_names(model: BenchmarkModel, datasets: Sequence[DatasetEntry], tree: Node) -> None:
    """Refuses equal names, and names of datasets that do not exist."""
    problems = []
    names = [entry.name for entry in datasets]

    def problem(place: TreePath, message: str, suggestion: str | None = None) -> None:
        problems.append(Problem(dotted(place), message, str(tree.where(place)), suggestion))

    for index, name in enumerate(names):
        if name in names[:index]:
            problem(("datasets", index, "name"), f"two datasets have the name {name!r}; give each its own `name`")
    printed = [method.printed for method in model.methods]
    for index, name in enumerate(printed):
        if name in printed[:index]:
            problem(("methods", index, "name"), f"two methods have the name {name!r}; give each its own `name`")
    used: list[tuple[TreePath, str]] = [
        (("methods", index, "datasets", number), name)
        for index, method in enumerate(model.methods)
        for number, name in enumerate(method.datasets or [])
    ]
    used += [(("downstream", index, "dataset"), part.dataset) for index, part in enumerate(model.downstream)]
    used += [(("robustness", index, "dataset"), part.dataset) for index, part in enumerate(model.robustness)]
    for place, name in used:
        if name not in names:
            near = nearest(name, names)
            listed = "" if near else f"; choose from {', '.join(names)}"
            problem(place, f"no dataset is named {name!r}{listed}", near)
    if problems:
        raise RecipeProblems(problems)
