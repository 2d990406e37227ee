"""The frame of a recipe: its sections and their settings. Imports no torch.

Everything under ``params`` belongs to a component, and the component's own ``Config`` checks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    field_validator,
    model_serializer,
    model_validator,
)

from fusekit.interfaces.config import (
    SEVERITIES,
    BackboneRef,
    ComponentRef,
    GuidanceRef,
    NestedKind,
    ObserverRef,
    Severity,
    StrategyRef,
)
from fusekit.recipe.fuse_options import FuseOptions

# Names of runs and phases become names of folders, so they must not contain path separators.
_FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

PhaseName = Annotated[str, StringConstraints(pattern=_FILE_NAME)]
MetricName = Annotated[str, NestedKind("metric")]


class Section(BaseModel):
    """Base class of a recipe's sections: unknown keys are refused, and every field has a description."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DataSection(Section):
    """The dataset and its folder."""

    use: Annotated[str, NestedKind("dataset")] = Field(description="name of the dataset component")
    root: str | None = Field(
        None, description="folder of the data; `${NAME}` and `${NAME:-default}` read the environment"
    )
    params: dict[str, Any] = Field(default_factory=dict, description="parameters of the dataset")


class PartComponentRef(ComponentRef):
    """A part of the model: a component, and optionally the model file that has its weights."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    weights_from: str | None = Field(
        None,
        alias="from",
        description="model file, folder of a run, name of shipped weights, or hf:// address that the part comes from: "
        "its weights and, without `use`, its component and parameters",
    )
    freeze: bool = Field(False, description="keep the weights of the part unchanged; no phase may train it")

    @model_serializer(mode="wrap")
    def _without_defaults(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Most parts are neither taken from a file nor frozen; a resolved recipe shows the others."""
        plain: dict[str, Any] = serialise(self)
        return {key: value for key, value in plain.items() if key in ("use", "params") or value}


BackbonePart = Annotated[PartComponentRef, NestedKind("backbone")]
ProposerPart = Annotated[PartComponentRef, NestedKind("loss-proposer")]
ReconstructionPart = Annotated[PartComponentRef, NestedKind("reconstruction")]
TaskPart = Annotated[PartComponentRef, NestedKind("task")]


class ModelSection(Section):
    """The parts of the model."""

    backbone: BackbonePart = Field(description="fusion backbone: fuses the sources")
    proposer: ProposerPart | None = Field(
        None, description="loss proposer: proposes the per-pixel weights of the fusion loss"
    )
    reconstruction: ReconstructionPart | None = Field(
        None, description="reconstruction head: recovers the sources from the fused image"
    )
    task: TaskPart | None = Field(
        None, description="task network: solves the recognition task for which images are fused"
    )
    guidance: GuidanceRef | None = Field(
        None, description="guidance: computes attributions of the task network for the parts that use them"
    )

    @field_validator("guidance", mode="before")
    @classmethod
    def _names_a_component(cls, value: Any) -> Any:
        """Refuses the former syntax, in which guidance was a section of settings and not a component."""
        known = ("pathway", "scope", "megapixels")
        if isinstance(value, Mapping) and value and "use" not in value and all(key in known for key in value):
            raise ValueError(
                "guidance is a component; write {use: uaafusion.attribution_guidance, params: {…}} "
                f"with {', '.join(value)} in params"
            )
        return value


class TransformSection(Section):
    """A transform that degrades the sources of training samples."""

    use: Annotated[str, NestedKind("transform")] = Field(description="name of the transform component")
    params: dict[str, Any] = Field(default_factory=dict, description="parameters of the transform")
    probability: float = Field(1.0, gt=0, le=1, description="probability with which a sample is degraded")
    severity: list[Severity] = Field(list(SEVERITIES), min_length=1, description="one of them is drawn per sample")


class SamplingSection(Section):
    """How training samples are cut from images, and augmented."""

    mode: Literal["patches", "crop", "full"] = Field(
        "crop",
        description="`patches`: every image is cut into patches on a grid; `crop`: one random crop of every image; "
        "`full`: whole images (all must have the same size, or `resize` must be set)",
    )
    size: int = Field(256, ge=16, description="side of a patch or crop in pixels")
    stride: int | None = Field(None, ge=1, description="grid spacing of patches in pixels; default: `size`")
    min_contrast: float = Field(
        0.0, ge=0, lt=1, description="drop patches where (p90 - p10) / p90 of any source is below this value"
    )
    resize: tuple[int, int] | None = Field(None, description="resize images to [height, width] before cutting")
    flip: bool = Field(False, description="random horizontal and vertical flips")
    transforms: list[TransformSection] = Field(default_factory=list, description="degradations of sources, in order")
    swap: bool = Field(False, description="append a copy of every batch with its sources in reversed order")


class UpdaterSection(Section):
    """Options of one updater of a strategy, where they differ from those of the phase."""

    name: Literal["adam", "adamw", "sgd"] | None = Field(None, description="name of the optimiser")
    lr: float | None = Field(None, gt=0, description="initial learning rate; the schedule applies to it too")
    betas: tuple[float, float] | None = Field(None, description="decay rates of Adam's moments")
    eps: float | None = Field(None, gt=0, description="Adam's epsilon")
    weight_decay: float | None = Field(None, ge=0, description="weight decay")
    momentum: float | None = Field(None, ge=0, lt=1, description="momentum of SGD")


class OptimiserSection(Section):
    """The optimiser of the updaters of a phase."""

    name: Literal["adam", "adamw", "sgd"] = Field("adam", description="name of the optimiser")
    lr: float = Field(1e-4, gt=0, description="initial learning rate")
    betas: tuple[float, float] = Field((0.9, 0.999), description="decay rates of Adam's moments")
    eps: float = Field(1e-8, gt=0, description="Adam's epsilon")
    weight_decay: float = Field(0.0, ge=0, description="weight decay")
    momentum: float = Field(0.0, ge=0, lt=1, description="momentum of SGD")
    updaters: dict[str, UpdaterSection] = Field(
        default_factory=dict,
        description="options of single updaters of the strategy by name, such as `{proposer: {eps: 1e-10}}`",
    )

    def of(self, updater: str) -> OptimiserSection:
        """The options of an updater."""
        own = self.updaters.get(updater)
        return self if own is None else self.model_copy(update=own.model_dump(exclude_none=True))


class ScheduleSection(Section):
    """The learning rate schedule."""

    name: Literal["constant", "step", "cosine"] = Field("constant", description="name of the schedule")
    every: int = Field(10, ge=1, description="step: number of epochs between two drops")
    gamma: float = Field(0.5, gt=0, le=1, description="step: factor of each drop")
    final: float = Field(0.0, ge=0, le=1, description="cosine: final learning rate as a fraction of the initial one")
    warmup: int = Field(0, ge=0, description="number of steps of linear warm-up from zero, before any schedule")


class ValidationSection(Section):
    """Validation of a training phase on scenes that it does not train on."""

    metric: MetricName | None = Field(
        None, description="metric component that scores the fused validation scenes, as the evaluation does"
    )
    loss: str | None = Field(
        None, description="alternative to `metric`: name of a loss of the strategy, computed on the validation scenes"
    )
    every: int | None = Field(None, ge=1, description="number of steps between validations; default: once per epoch")
    limit: int | None = Field(None, ge=1, description="maximum number of validation scenes; the first ones are used")
    holdout: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="fraction of the training scenes that is held out: no phase trains on them, and this one is "
        "validated on them instead of the `val` split",
    )
    range: Literal["clip", "stretch"] = Field("clip", description="range of fused images, as in `fuse.range`")
    weights: Literal["best", "last"] = Field("best", description="which weights the next phase and the model file use")
    patience: int | None = Field(
        None,
        ge=1,
        description="early stopping: end the phase after this number of consecutive validations without improvement",
    )
    min_delta: float = Field(
        0.0, ge=0, description="smallest change of the value that counts as an improvement for `patience`"
    )

    @model_validator(mode="after")
    def _one_measure(self) -> ValidationSection:
        if (self.metric is None) == (self.loss is None):
            raise ValueError("give either `metric` (of the fused images) or `loss` (of the strategy), but not both")
        return self

    @property
    def measure(self) -> str:
        """Name of the metric or loss."""
        return self.metric or self.loss or ""


class TrainSection(Section):
    """One training phase."""

    strategy: StrategyRef = Field(description="the training algorithm")
    epochs: int = Field(1, ge=0, description="passes over the training data")
    max_steps: int | None = Field(None, ge=1, description="maximum number of steps, whatever the value of `epochs`")
    batch: int = Field(8, ge=1, description="batch size: samples per batch, over all processes together")
    sampling: SamplingSection = Field(default_factory=SamplingSection, description="how samples are cut from images")
    streams: dict[str, SamplingSection] = Field(
        default_factory=dict,
        description="sampling of single streams of the strategy, by name, where it differs from `sampling`",
    )
    optimiser: OptimiserSection = Field(default_factory=OptimiserSection, description="the optimiser")
    schedule: ScheduleSection = Field(default_factory=ScheduleSection, description="the learning rate schedule")
    clip: float | None = Field(
        None, gt=0, description="gradient clipping: maximum gradient norm of an update; default: no clipping"
    )
    ema: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="decay of an exponential moving average of the model weights over the steps, such as 0.999; "
        "validation measures the averaged weights, and they are the result of the phase; default: no average",
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: autocast of forward passes")
    checkpoint_every: int | None = Field(
        None, ge=1, description="number of steps between checkpoints; default: once per epoch"
    )
    keep: int = Field(2, ge=1, description="number of checkpoints to keep")
    validation: ValidationSection | None = Field(
        None, alias="validate", description="validation during training; default: no validation"
    )


class FuseSection(FuseOptions):
    """The split that is fused after training, and the fusion options."""

    split: Literal["train", "val", "test"] = Field("test", description="the split that is fused")
    limit: int | None = Field(None, ge=1, description="maximum number of scenes; the first ones are used")


class EvaluateSection(Section):
    """Evaluation of the fused images."""

    metrics: list[MetricName] | None = Field(
        None, description="names of metric components; default: those that plugins declare for tables"
    )
    baselines: list[BackboneRef] | None = Field(
        None,
        description="methods that every table compares with the model; default: those that plugins declare for tables",
    )
    task: bool = Field(True, description="score the model's task network on the fused images and on each source")
    pictures: int = Field(4, ge=0, description="number of scenes shown in the report")


class RecipeModel(Section):
    """A whole recipe."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, populate_by_name=True
    )

    schema_version: Literal[1] = Field(alias="schema", description="version of this format")
    name: str = Field(pattern=_FILE_NAME, description="name of the run; its folder is runs/NAME")
    description: str = Field("", description="purpose of this recipe, in one sentence")
    requires: list[str] = Field(
        default_factory=list, description="distributions that must be installed, such as `fusekit-toyseg>=0.1`"
    )
    seed: int = Field(0, ge=0, description="root seed of every random stream")
    data: DataSection = Field(description="the dataset")
    model: ModelSection = Field(description="the parts of the model")
    pretrain: dict[PhaseName, TrainSection] = Field(
        default_factory=dict, description="training phases before the main one, by name, in order"
    )
    train: TrainSection | None = Field(None, description="the main training phase")
    fuse: FuseSection = Field(default_factory=FuseSection, description="fusion after training")
    evaluate: EvaluateSection = Field(default_factory=EvaluateSection, description="evaluation of the fused images")
    observe: list[ObserverRef] = Field(
        default_factory=list, description="observers of the run, such as loggers; they do not change its results"
    )
    when_missing: dict[str, Any] = Field(
        default_factory=dict,
        description="changes to this recipe that apply if its data is missing and no data root was given",
    )
