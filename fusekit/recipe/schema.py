"""The frame of a recipe: its sections and their plain settings. Imports no torch.

What stands under ``params`` belongs to the component and is checked by the component's own ``Config``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from fusekit.interfaces.config import (
    BackboneRef,
    ComponentRef,
    GuidanceRef,
    NestedKind,
    ObserverRef,
    ProposerRef,
    StrategyRef,
    TaskRef,
)
from fusekit.recipe.fuse_options import FuseOptions

# Names of runs and phases become folders, which must stay inside the folder of the run.
_FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

ReconstructionRef = Annotated[ComponentRef, NestedKind("reconstruction")]
PhaseName = Annotated[str, StringConstraints(pattern=_FILE_NAME)]
MetricName = Annotated[str, NestedKind("metric")]


class Section(BaseModel):
    """A mapping of a recipe: unknown keys are refused, every field is described."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DataSection(Section):
    """Which dataset, and where it lies."""

    use: Annotated[str, NestedKind("dataset")] = Field(description="name of the dataset component")
    root: str | None = Field(
        None, description="folder of the data; `${NAME}` and `${NAME:-default}` read the environment"
    )
    params: dict[str, Any] = Field(default_factory=dict, description="parameters of the dataset")


class ModelSection(Section):
    """The parts that are assembled."""

    backbone: BackboneRef = Field(description="fuses the sources")
    proposer: ProposerRef | None = Field(None, description="proposes the weights of the fusion loss")
    reconstruction: ReconstructionRef | None = Field(None, description="recovers the sources from the result")
    task: TaskRef | None = Field(None, description="the recognition task that the images are for")
    guidance: GuidanceRef | None = Field(
        None, description="asks the task network about images, for the parts that listen to it"
    )

    @field_validator("guidance", mode="before")
    @classmethod
    def _names_a_component(cls, value: Any) -> Any:
        """Settings without a component are how guidance was written before it was one."""
        known = ("pathway", "scope", "megapixels")
        if isinstance(value, Mapping) and value and "use" not in value and all(key in known for key in value):
            raise ValueError(
                "guidance is a component; write {use: uaafusion.attribution_guidance, params: {…}} "
                f"with {', '.join(value)} in params"
            )
        return value


class SamplingSection(Section):
    """What a training sample is."""

    mode: Literal["patches", "crop", "full"] = Field(
        "crop",
        description="`patches`: every image cut on a grid; `crop`: one random crop of every image; "
        "`full`: whole images (all must have one size, or `resize` be set)",
    )
    size: int = Field(256, ge=16, description="side of a patch or crop, pixels")
    stride: int | None = Field(None, ge=1, description="grid spacing of patches; `size` when absent")
    min_contrast: float = Field(
        0.0, ge=0, lt=1, description="drop patches where (p90 - p10) / p90 of any source is below this"
    )
    resize: tuple[int, int] | None = Field(None, description="resize images to [height, width] before cutting")
    flip: bool = Field(False, description="random horizontal and vertical flips")
    swap: bool = Field(False, description="append every batch's copy with its sources in reversed order")


class OptimiserSection(Section):
    """The optimiser of every updater of a phase."""

    name: Literal["adam", "adamw", "sgd"] = Field("adam", description="which optimiser")
    lr: float = Field(1e-4, gt=0, description="initial learning rate")
    betas: tuple[float, float] = Field((0.9, 0.999), description="decay rates of Adam's moments")
    eps: float = Field(1e-8, gt=0, description="Adam's epsilon")
    weight_decay: float = Field(0.0, ge=0, description="weight decay")
    momentum: float = Field(0.0, ge=0, lt=1, description="momentum of SGD")


class ScheduleSection(Section):
    """How the learning rate changes."""

    name: Literal["constant", "step", "cosine"] = Field("constant", description="which schedule")
    every: int = Field(10, ge=1, description="step: epochs between two drops")
    gamma: float = Field(0.5, gt=0, le=1, description="step: factor of a drop")
    final: float = Field(0.0, ge=0, le=1, description="cosine: last rate as a share of the first")
    warmup: int = Field(0, ge=0, description="steps of linear warm-up from zero, before any schedule")


class ValidationSection(Section):
    """How a phase finds out, while it trains, how good its weights are on scenes that it does not train on."""

    metric: MetricName | None = Field(
        None, description="metric component that scores the fused validation scenes, as the evaluation does"
    )
    loss: str | None = Field(None, description="or a loss of the strategy, by name, on the validation scenes")
    every: int | None = Field(None, ge=1, description="steps between validations; once an epoch when absent")
    limit: int | None = Field(None, ge=1, description="only the first so many validation scenes")
    holdout: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of the training scenes that no phase trains on and this one is validated on, in place of "
        "the `val` split",
    )
    range: Literal["clip", "stretch"] = Field("clip", description="range of fused images, as in `fuse.range`")
    weights: Literal["best", "last"] = Field(
        "best", description="which weights go on, to the next phase and into the model file"
    )
    patience: int | None = Field(
        None, ge=1, description="end the phase after so many validations in a row without improvement"
    )
    min_delta: float = Field(0.0, ge=0, description="least change of the value that `patience` takes for improvement")

    @model_validator(mode="after")
    def _one_measure(self) -> ValidationSection:
        if (self.metric is None) == (self.loss is None):
            raise ValueError("give either `metric` (of the fused images) or `loss` (of the strategy), and not both")
        return self

    @property
    def measure(self) -> str:
        """Name of the metric or loss."""
        return self.metric or self.loss or ""


class TrainSection(Section):
    """One training phase."""

    strategy: StrategyRef = Field(description="the training algorithm")
    epochs: int = Field(1, ge=0, description="passes over the training data")
    max_steps: int | None = Field(None, ge=1, description="stop after so many steps, whatever `epochs` says")
    batch: int = Field(8, ge=1, description="samples in a batch, of all processes together")
    sampling: SamplingSection = Field(default_factory=SamplingSection, description="what a sample is")
    streams: dict[str, SamplingSection] = Field(
        default_factory=dict,
        description="what a sample is in single streams of the strategy, by name, where it differs from `sampling`",
    )
    optimiser: OptimiserSection = Field(default_factory=OptimiserSection, description="the optimiser")
    schedule: ScheduleSection = Field(default_factory=ScheduleSection, description="the learning rate")
    clip: float | None = Field(None, gt=0, description="largest gradient norm of an update; none when absent")
    ema: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="decay of an exponential moving average of all weights, over steps, such as 0.999; validation "
        "measures the averaged weights, and they are the result of the phase",
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: autocast of forward passes")
    checkpoint_every: int | None = Field(None, ge=1, description="steps between checkpoints; once an epoch when absent")
    keep: int = Field(2, ge=1, description="checkpoints kept")
    validation: ValidationSection | None = Field(
        None, alias="validate", description="validation while training; none when absent"
    )


class FuseSection(FuseOptions):
    """What is fused after training, and how it should look."""

    split: Literal["train", "val", "test"] = Field("test", description="which split is fused")
    limit: int | None = Field(None, ge=1, description="only the first so many scenes")


class EvaluateSection(Section):
    """What is measured on the fused images."""

    metrics: list[MetricName] | None = Field(
        None, description="names of metric components; when absent those that plugins declare for tables"
    )
    baselines: list[BackboneRef] | None = Field(
        None,
        description="methods that stand beside the model in every table; when absent those that plugins declare for it",
    )
    task: bool = Field(True, description="score the model's task network on fused and on single sources")
    pictures: int = Field(4, ge=0, description="scenes shown in the report")


class RecipeModel(Section):
    """A whole recipe."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, populate_by_name=True
    )

    schema_version: Literal[1] = Field(alias="schema", description="version of this format")
    name: str = Field(pattern=_FILE_NAME, description="name of the run; its folder is runs/NAME")
    description: str = Field("", description="what this recipe is for, one sentence")
    requires: list[str] = Field(
        default_factory=list, description="distributions that must be installed, as `fusekit-toyseg>=0.1`"
    )
    seed: int = Field(0, ge=0, description="root seed of every random stream")
    data: DataSection = Field(description="the dataset")
    model: ModelSection = Field(description="the parts")
    pretrain: dict[PhaseName, TrainSection] = Field(
        default_factory=dict, description="training phases before the main one, by name, in order"
    )
    train: TrainSection | None = Field(None, description="the main training phase")
    fuse: FuseSection = Field(default_factory=FuseSection, description="what is fused after training")
    evaluate: EvaluateSection = Field(default_factory=EvaluateSection, description="what is measured")
    observe: list[ObserverRef] = Field(
        default_factory=list, description="who is told what happens in the run, such as loggers; changes nothing of it"
    )
    when_missing: dict[str, Any] = Field(
        default_factory=dict,
        description="changes to this recipe where its data is missing and no data root was given",
    )
