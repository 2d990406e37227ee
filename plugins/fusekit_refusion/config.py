"""Options of ReFusion and TDFusion. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from fusekit.interfaces.config import ComponentConfig, ComponentRef, Field, LossTermRef, ObjectiveRef, term_names


class TransformerConfig(ComponentConfig):
    """Size of a network of transformer blocks."""

    channels: int = Field(
        16, ge=1, le=4096, description="feature channels of each source's encoder; a multiple of `heads`"
    )
    heads: int = Field(8, ge=1, le=1024, description="number of heads of the channel attention")
    blocks: int = Field(2, ge=1, le=256, description="number of transformer blocks of each encoder, and of the decoder")
    expansion: int = Field(2, ge=1, le=64, description="width of the feed-forward layer as a multiple of the channels")
    arithmetic: Literal["fused", "released"] = Field(
        "fused",
        description="order of operations: `fused` is faster and has smaller rounding errors; `released` reproduces the "
        "output of released weights bit for bit",
    )

    @model_validator(mode="after")
    def _heads_divide_channels(self) -> TransformerConfig:
        if self.channels % self.heads:
            raise ValueError(f"channels {self.channels} must be a multiple of heads {self.heads}")
        return self


class NetworkConfig(TransformerConfig):
    """Options of the fusion module."""


class ProposerConfig(TransformerConfig):
    """Options of the loss proposal module."""

    centred: bool = Field(
        False,
        description="subtract each score map's mean over the image before the softmax, so that the weights can choose "
        "a source place by place but never for a whole image; an addition of ours",
    )


class ReconstructionConfig(TransformerConfig):
    """Options of the reconstruction module."""

    channels: int = Field(
        24, ge=1, le=4096, description="feature channels of the encoder and the decoders; a multiple of `heads`"
    )


class SourcesObjectiveConfig(ComponentConfig):
    """Options of the reconstruction objective."""

    def needs(self) -> frozenset[str]:
        return frozenset({"reconstruction"})


class TaskObjectiveConfig(ComponentConfig):
    """Options of the task objective."""

    def needs(self) -> frozenset[str]:
        return frozenset({"task", "labels"})


class MetaConfig(ComponentConfig):
    """Options of the meta-learned fusion loss."""

    objective: ObjectiveRef = Field(
        ComponentRef(use="refusion.sources"),
        description="objective of the outer update: `refusion.sources` (ReFusion) or `refusion.task` (TDFusion)",
    )
    rounds: int = Field(
        200,
        ge=0,
        description="rounds of inner and outer update in each epoch; 0 freezes the proposer: use it in a `pretrain` "
        "phase to warm up the fusion and evaluator networks",
    )
    order: Literal["block", "alternated"] = Field(
        "block",
        description="`block`: all rounds of an epoch before its pass over the data; `alternated`: spread evenly over "
        "the pass, an addition of ours",
    )
    inner: Literal["network", "image", "minimiser"] = Field(
        "network",
        description="what the inner update changes: `network`, the fusion module (the paper). Ours: `image`, every "
        "pixel of the fused image by itself; `minimiser`: no step from a fused image, but the image for which the "
        "proposed intensity loss is smallest. Both leave the fusion module out of the round, which makes it cheaper, "
        "and the outer loss is that of the same images",
    )
    inner_steps: int = Field(1, ge=1, description="number of differentiable inner steps per round")
    inner_rate: float | None = Field(
        None,
        gt=0,
        description="learning rate η of the inner steps; default: the current learning rate, or .3 with `inner: image`",
    )
    outer_rule: Literal["recipe", "normalised"] = Field(
        "recipe",
        description="update rule of the proposer: `recipe` uses the recipe's optimiser; `normalised` takes a plain "
        "gradient step with the gradient divided by its largest absolute entry, as TDFusion's release does",
    )
    outer_rate: float = Field(1.0, gt=0, description="learning rate of the proposer as a multiple of the current one")
    restore_evaluator: bool = Field(
        True, description="restore the evaluator's state after each round; false keeps the result of its step"
    )
    evaluator_batches: Literal["shared", "own"] = Field(
        "shared",
        description="`shared`: the evaluator is trained with the batches of the fusion module; `own`: with the stream "
        "`evaluator`, for which the recipe may set another sampling (train.streams)",
    )
    evaluator_rate: float = Field(
        1.0, gt=0, description="learning rate of the evaluator as a multiple of the current one"
    )
    mixtures: Literal["none", "whole", "local"] = Field(
        "none",
        description="train the evaluator also on random mixtures of the sources, so that it knows images other than "
        "the fusion module's: `whole`: one share of each source per image; `local`: shares that vary smoothly over "
        "the image. An addition of ours",
    )
    exchange: bool = Field(
        False,
        description="show every batch also with its sources exchanged, as the paper does; the evaluator's targets "
        "keep the order of the roles",
    )
    loss: list[LossTermRef] = Field(
        [ComponentRef(use="losses.intensity"), ComponentRef(use="losses.gradient")],
        min_length=1,
        description="terms of the fusion loss, each with its weight; by default the paper's two",
    )

    def needs(self) -> frozenset[str]:
        return frozenset({"backbone", "loss-proposer"})

    def trains(self) -> frozenset[str]:
        return frozenset({"backbone", "loss-proposer"})

    def streams(self) -> frozenset[str]:
        meta_test = {"meta_test"} if self.inner == "network" else set()
        evaluator = {"evaluator"} if self.evaluator_batches == "own" else set()
        return frozenset({"meta_train", "fusion"} | meta_test | evaluator)

    def losses(self) -> frozenset[str]:
        return frozenset({"fusion", *term_names(self.loss), "evaluator"})
