"""Options of the task networks. Imports no torch."""

from __future__ import annotations

from typing import Any, Literal

from fusekit.interfaces.config import ComponentConfig, Field


class SmpConfig(ComponentConfig):
    """Options of a segmentation network of segmentation-models-pytorch."""

    architecture: str = Field("deeplabv3plus", description="architecture, such as unet, fpn, deeplabv3plus, segformer")
    encoder: str = Field(
        "mobilenet_v2",
        description="encoder name; timm's carry the prefix `tu-`, such as tu-mobilenetv3_small_050",
    )
    classes: int | None = Field(
        None, ge=1, description="number of classes, for a check: it is the dataset's, and must be equal if given"
    )
    channels: Literal[1, 3] = Field(
        1, description="input channels of the network; images of the other count are converted"
    )
    weights: str | None = Field(
        None,
        description="name of pretrained encoder weights, such as `imagenet`; needs the network, so building "
        "refuses it unless they are already in the local cache. None starts from random weights",
    )
    activation: Literal["none", "sigmoid"] = Field(
        "none",
        description="end of the network; UAAFusion's release ends in a sigmoid before its cross entropy",
    )
    ignore_unlabelled: bool = Field(
        False,
        description="leave pixels of the dataset's unlabelled class out of loss and scores, as UAAFusion's "
        "release does on FMB; by MSRS's convention that class counts",
    )
    balance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="weigh classes by their frequency in the batch to the power of minus this; 0 is the "
        "plain cross entropy",
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="further arguments of the architecture, such as encoder_output_stride or decoder_channels",
    )

    def class_count(self) -> int | None:
        return self.classes


class SupervisedConfig(ComponentConfig):
    """Options of supervised training of the task network."""

    inputs: tuple[Literal["sources", "mean", "mixture"], ...] = Field(
        ("sources", "mean"),
        min_length=1,
        description="what it sees of every scene: each single source, their mean, a mixture with random shares",
    )

    def needs(self) -> frozenset[str]:
        return frozenset({"task"})

    def trains(self) -> frozenset[str]:
        return frozenset({"task"})

    def losses(self) -> frozenset[str]:
        return frozenset({"segmentation"})
