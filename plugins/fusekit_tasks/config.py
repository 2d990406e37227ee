"""Options of the task networks. Imports no torch."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import field_validator

from fusekit.interfaces.config import ComponentConfig, Field

# Encoder names lead the library below to repositories of the model hub and to folders where they hold a colon or slash,
# and so do texts in its options. A recipe or model file may come from a stranger: plain names only.
_PLAIN = re.compile(r"[A-Za-z0-9_.-]*")
_SOURCES_OF_WEIGHTS = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir")
_LARGEST, _LONGEST, _DEEPEST = 4096, 64, 3


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
        description="further arguments of the architecture, such as encoder_output_stride or decoder_channels; "
        f"numbers up to {_LARGEST}, names, and lists of them",
    )

    @field_validator("encoder")
    @classmethod
    def _encoder_is_a_plain_name(cls, value: str) -> str:
        if not value or not _PLAIN.fullmatch(value):
            raise ValueError(
                f"{value[:60]!r} is not a valid encoder name: it has letters, digits, and . _ - only; "
                "encoders of repositories and folders are not taken"
            )
        return value

    @field_validator("options")
    @classmethod
    def _options_are_plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, option in value.items():
            if name in _SOURCES_OF_WEIGHTS:
                raise ValueError(f"{name!r} is not an argument of an architecture: it says where weights come from")
            _check_plain(name[:60], option)
        return value

    def class_count(self) -> int | None:
        return self.classes


def _check_plain(name: str, value: Any, depth: int = 1) -> None:
    """Refuses texts that may be paths, and numbers and lists that make a network as large as one likes."""
    if isinstance(value, str) and not _PLAIN.fullmatch(value):
        raise ValueError(f"{name}: {value[:60]!r} is not a plain name: letters, digits, and . _ - only")
    if isinstance(value, int | float) and not abs(value) <= _LARGEST:
        raise ValueError(f"{name}: numbers may go up to {_LARGEST}")
    if isinstance(value, list | dict):
        if len(value) > _LONGEST or depth > _DEEPEST:
            raise ValueError(f"{name}: at most {_LONGEST} items, {_DEEPEST} levels deep")
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            _check_plain(f"{name}.{str(key)[:60]}", item, depth + 1)


class SupervisedConfig(ComponentConfig):
    """Options of supervised training of the task network."""

    inputs: tuple[Literal["sources", "mean", "mixture"], ...] = Field(
        ("sources", "mean"),
        min_length=1,
        description="what it sees of every scene: each single source, their mean, a mixture with random shares",
    )

    def needs(self) -> frozenset[str]:
        return frozenset({"task", "labels"})

    def trains(self) -> frozenset[str]:
        return frozenset({"task"})

    def losses(self) -> frozenset[str]:
        return frozenset({"task"})
