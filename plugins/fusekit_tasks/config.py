"""Options of the task networks. Imports no torch."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, field_validator

from fusekit.interfaces.config import ComponentConfig, Field

# An encoder name or string option with a colon or slash makes the library load from model-hub repositories or folders.
# Recipes and model files may come from third parties, so only plain names are allowed.
_PLAIN = re.compile(r"[A-Za-z0-9_.-]*")
_SOURCES_OF_WEIGHTS = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir")
_LARGEST, _LONGEST, _DEEPEST = 4096, 64, 3


def _plain_name(value: str) -> str:
    if not value or not _PLAIN.fullmatch(value):
        raise ValueError(
            f"{value[:60]!r} is not a valid encoder name: it may contain only letters, digits, and . _ -; "
            "encoders from repositories and folders are not supported"
        )
    return value


PlainName = Annotated[str, AfterValidator(_plain_name)]


class SmpConfig(ComponentConfig):
    """Options of a segmentation network of segmentation-models-pytorch."""

    architecture: str = Field("deeplabv3plus", description="architecture, such as unet, fpn, deeplabv3plus, segformer")
    encoder: PlainName = Field(
        "mobilenet_v2",
        description="encoder name; timm encoders have the prefix `tu-`, such as tu-mobilenetv3_small_050",
    )
    classes: int | None = Field(
        None, ge=1, description="number of classes; it comes from the dataset, and if given, it must be equal to that"
    )
    channels: Literal[1, 3] = Field(
        1, description="input channels of the network; images with another number of channels are converted"
    )
    weights: str | None = Field(
        None,
        description="name of pretrained encoder weights, such as `imagenet`. Downloading needs internet access, so "
        "weights that are not in the local cache are refused. `packaged` needs no download: ImageNet weights of "
        "encoder tu-tf_efficientnet_lite0 from the extra `pretrained`. Default: random initialisation",
    )
    activation: Literal["none", "sigmoid"] = Field(
        "none",
        description="output activation of the network; UAAFusion's release applies a sigmoid before its cross entropy",
    )
    ignore_unlabelled: bool = Field(
        False,
        description="exclude pixels of the dataset's unlabelled class from loss and scores, as UAAFusion's release "
        "does on FMB; by the convention of MSRS that class is included",
    )
    balance: float = Field(
        0.0,
        ge=0,
        le=1,
        description="weight classes by their frequency in the batch to the power of minus this value; 0 is the plain "
        "cross entropy",
    )
    frequencies: list[float] | None = Field(
        None,
        min_length=1,
        max_length=256,
        description="share of each class in the pixels of the training data, in the order of the classes; `balance` "
        "uses these instead of the frequencies in the batch, so that the weights are the same in every batch",
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="further arguments of the architecture, such as encoder_output_stride or decoder_channels; "
        f"numbers up to {_LARGEST}, names, and lists of them",
    )

    @field_validator("frequencies")
    @classmethod
    def _frequencies_are_positive(cls, value: list[float] | None) -> list[float] | None:
        if value is not None and not all(0 < share <= 1 for share in value):
            raise ValueError("every frequency must be greater than 0 and at most 1")
        return value

    @field_validator("options")
    @classmethod
    def _options_are_plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, option in value.items():
            if name in _SOURCES_OF_WEIGHTS:
                raise ValueError(f"{name!r} is not allowed as an argument of an architecture: it loads weights")
            _check_plain(name[:60], option)
        return value

    def class_count(self) -> int | None:
        return self.classes


class CenterNetConfig(ComponentConfig):
    """Options of the detector CenterNet on an encoder of timm."""

    encoder: PlainName = Field(
        "tf_efficientnet_lite0",
        description="name of a convolutional encoder of timm with features at strides 4 to 32, such as "
        "mobilenetv3_small_100",
    )
    weights: Literal["packaged"] | None = Field(
        None,
        description="`packaged`: ImageNet weights of encoder tf_efficientnet_lite0 from the extra `pretrained`; "
        "nothing is downloaded. Default: random initialisation",
    )
    channels: Literal[1, 3] = Field(
        1, description="input channels of the network; images with another number of channels are converted"
    )
    width: int = Field(64, ge=8, le=256, description="channels of the decoder and of the heads")
    overlap: float = Field(
        0.7, gt=0, lt=1, description="IoU that a box moved by the radius of an object's Gaussian must still have"
    )
    size_weight: float = Field(0.1, ge=0, description="weight of the size loss, in pixels; the others have weight 1")
    objects: int = Field(100, ge=1, le=1000, description="largest number of objects found in an image")

    def needs(self) -> frozenset[str]:
        return frozenset({"boxes"})

    def solves(self) -> frozenset[str]:
        return frozenset({"detection"})


def _check_plain(name: str, value: Any, depth: int = 1) -> None:
    """Refuse strings that may be paths, and numbers and lists that would make a network arbitrarily large."""
    if isinstance(value, str) and not _PLAIN.fullmatch(value):
        raise ValueError(f"{name}: {value[:60]!r} is not a plain name: it may contain only letters, digits, and . _ -")
    if isinstance(value, int | float) and not abs(value) <= _LARGEST:
        raise ValueError(f"{name}: numbers must not exceed {_LARGEST}")
    if isinstance(value, list | dict):
        if len(value) > _LONGEST or depth > _DEEPEST:
            raise ValueError(f"{name}: at most {_LONGEST} items and {_DEEPEST} levels of nesting are allowed")
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            _check_plain(f"{name}.{str(key)[:60]}", item, depth + 1)


class SupervisedConfig(ComponentConfig):
    """Options of supervised training of the task network."""

    inputs: tuple[Literal["sources", "mean", "maximum", "mixture"], ...] = Field(
        ("sources", "mean"),
        min_length=1,
        description="inputs made from every scene: each single source, their mean, their maximum, or a mixture with "
        "random weights",
    )
    draw: bool = Field(
        False, description="train with one of the inputs of each scene, drawn at random, instead of all of them"
    )
    gain: float = Field(
        1.0,
        ge=1,
        le=16,
        description="random brightness: training images are multiplied by a factor between 1/gain and gain",
    )
    gamma: float = Field(
        1.0,
        ge=1,
        le=16,
        description="random tone curve: training images are raised to a power between 1/gamma and gamma",
    )
    mirror: bool = Field(
        False, description="mirror half of the training images left to right; `sampling.flip` also turns them over"
    )
    rates: dict[str, float] = Field(
        default_factory=dict,
        description="learning rates of submodules of the task network as a share of the phase's, by name, such as "
        "{net.encoder: 0.3} for the encoder of tasks.smp",
    )

    @field_validator("rates")
    @classmethod
    def _rates_are_positive(cls, value: dict[str, float]) -> dict[str, float]:
        if not all(0 < rate <= 1000 for rate in value.values()):
            raise ValueError("every rate must be greater than 0 and at most 1000")
        return value

    def needs(self) -> frozenset[str]:
        return frozenset({"task", "labels"})

    def trains(self) -> frozenset[str]:
        return frozenset({"task"})

    def losses(self) -> frozenset[str]:
        return frozenset({"task", "disagreement"})
