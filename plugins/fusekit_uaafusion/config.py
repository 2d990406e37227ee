"""Options of UAAFusion. Imports no torch."""

from __future__ import annotations

from typing import Literal

from fusekit.interfaces.config import (
    ComponentConfig,
    ComponentRef,
    Field,
    LossTermRef,
    PathwayRef,
    StageRef,
    term_names,
)


class StageConfig(ComponentConfig):
    """Options of one unfolding stage."""

    channels: int = Field(32, ge=1, le=4096, description="feature channels; must equal the backbone's")
    gradient_step: bool = Field(
        True,
        description="take the gradient step towards the weighted sources; the released code computes this step and "
        "discards it, so released weights need false",
    )
    alpha: float = Field(0.001, gt=0, description="initial value of the learned step length of the gradient step")
    attention: bool = Field(
        True, description="use the attribution attention; without it, an ablation, the guidance has no effect on stages"
    )


class UnfoldingConfig(ComponentConfig):
    """Options of the unfolding backbone."""

    stages: int = Field(5, ge=1, le=1000, description="number of unfolding stages")
    channels: int = Field(32, ge=2, le=4096, description="feature channels of the long and short memory")
    stage: StageRef = Field(ComponentRef(use="uaafusion.stage"), description="component of the stages")
    share_stages: bool = Field(False, description="share one set of parameters between all stages")


class AttributionConfig(ComponentConfig):
    """Options of the attribution proposer."""

    epsilon: float = Field(1e-8, gt=0, description="constant added to each attribution before normalisation")

    def needs(self) -> frozenset[str]:
        return frozenset({"guidance"})

    def has_weights(self) -> bool:
        return False


class AttributionGuidanceConfig(ComponentConfig):
    """Options of the guidance by region attribution."""

    pathway: PathwayRef | None = Field(
        None, description="path along which sources are attributed; default: a straight line from zero"
    )
    scope: Literal["image", "batch"] = Field(
        "image",
        description="compute class means over each `image`, or over the whole `batch` as UAAFusion's release does",
    )
    unlabelled: Literal["region", "equal", "brightest"] = Field(
        "region",
        description="pixels of the dataset's unlabelled class: `region`: a region like those of other classes, as in "
        "the paper; `equal`: no region, so that all sources have equal weights there; `brightest`: the brightest "
        "source has the weight there. The last two are not the paper's",
    )
    floor: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the largest score of an image that is added to all its scores, such as 0.001: an ε "
        "relative to the scale of the scores, so that regions which hardly matter for the task have nearly equal "
        "weights instead of those that noise decides. Not the paper's",
    )
    megapixels: float = Field(
        1.0,
        gt=0,
        description="largest number of pixels, in millions, processed by the task network at once for an attribution; "
        "memory grows with it (about 2 to 3 GB per million for DeepLabV3+ with MobileNetV2)",
    )

    def needs(self) -> frozenset[str]:
        return frozenset({"task:segmentation"})


class StraightPathConfig(ComponentConfig):
    """Options of the straight path."""

    steps: int = Field(5, ge=1, le=1000, description="number K of path points")


class UnfoldingPathConfig(ComponentConfig):
    """Options of the unfolding path."""

    steps: int = Field(5, ge=1, le=1000, description="number of iterates, as the number of unfolding stages")
    step_length: float = Field(
        0.5, gt=0, le=1, description="step length of an iterate, as a share of the distance to the source"
    )


class JointConfig(ComponentConfig):
    """Options of joint training."""

    task_weight: float = Field(0.1, ge=0, description="weight of the task loss")
    task_rate: float = Field(
        1.0, ge=0, description="learning rate of the task network as a share of the fusion network's"
    )
    freeze_statistics: bool = Field(
        False,
        description="freeze the task network's batch-norm statistics; use it if batches are too small to estimate them",
    )
    loss: list[LossTermRef] = Field(
        [ComponentRef(use="losses.intensity"), ComponentRef(use="losses.gradient")],
        min_length=1,
        description="terms of the fusion loss, each with its weight; by default the paper's two",
    )

    def needs(self) -> frozenset[str]:
        return frozenset({"backbone", "loss-proposer"} | ({"task"} if self.task_weight else set()))

    def trains(self) -> frozenset[str]:
        return frozenset({"backbone"} | ({"task"} if self.task_weight and self.task_rate else set()))

    def losses(self) -> frozenset[str]:
        return frozenset({"total", *term_names(self.loss)} | ({"task"} if self.task_weight else set()))
