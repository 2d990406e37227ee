"""Segmentation networks of segmentation-models-pytorch as task networks."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from fusekit.compat.torchvision_ops import import_torchvision
from fusekit.errors import UsageError
from fusekit.interfaces import BuildContext, SegmentationNetwork
from fusekit.words import did_you_mean
from fusekit_tasks.config import SmpConfig
from fusekit_tasks.inputs import to_channels
from fusekit_tasks.second_order import differentiates_twice

import_torchvision()  # the library below imports it, and fails if torchvision does not match the installed torch
import segmentation_models_pytorch as smp  # noqa: E402

_SET_BY_FUSEKIT = {
    "encoder_name": "use `encoder`",
    "encoder_weights": "use `weights`",
    "in_channels": "use `channels`",
    "classes": "it comes from the dataset's class table",
    "activation": "use the option `activation`, outside of `options`",
    "aux_params": "a second output is not supported",
}


class SmpSegmenter(SegmentationNetwork):
    """Any architecture and encoder of segmentation-models-pytorch.

    Takes (B, 1 or 3, H, W) in [0, 1] with any H, W ≥ 16: converts to the network's number of channels, scales to
    [-1, 1], pads by replication to a multiple of 32 and crops the logits (B, K, H, W) to the input size. Classes and
    ignored labels come from the dataset's class table. Building it downloads nothing.
    """

    Config = SmpConfig
    config: SmpConfig
    stride = 32

    def __init__(self, config: SmpConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        config = self.config
        self.channels, self.activation, self.balance = config.channels, config.activation, config.balance
        if config.ignore_unlabelled and self.classes.unlabelled is not None:
            self.ignored = self.ignored | {self.classes.unlabelled}
        if config.frequencies is not None and len(config.frequencies) != len(self.classes):
            raise UsageError(
                f"tasks.smp: `frequencies` has {len(config.frequencies)} values, but the data has "
                f"{len(self.classes)} classes: {', '.join(self.classes.names)}"
            )
        self.frequencies = config.frequencies
        wanted = config.weights if self.context.pretrained else None
        self.net = _create(config, len(self.classes), wanted)
        self._second_order: bool | None = None

    @property
    def second_order(self) -> bool:  # type: ignore[override]
        """Whether the network is twice differentiable, tested once with a small image."""
        if self._second_order is None:
            self._second_order = differentiates_twice(self)
        return self._second_order

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = to_channels(image, self.channels) * 2.0 - 1.0
        below, right = -height % self.stride, -width % self.stride
        if below or right:
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        # Fused attention has no second derivative; the math backend has.
        try:
            with sdpa_kernel(SDPBackend.MATH):
                logits = self.net(x)[..., :height, :width]
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UsageError(
                "tasks.smp: batch normalisation of this architecture cannot be trained with a single image",
                hint="use at least two images per process: train.batch=2, or more if several processes share the batch",
            ) from error
        return torch.sigmoid(logits) if self.activation == "sigmoid" else logits

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross entropy over the labelled pixels, with classes weighted according to `balance`."""
        if not self.balance:
            return super().loss(logits, target)
        labelled = torch.ones_like(target, dtype=torch.bool)
        for value in self.ignored:
            labelled &= target != value
        if not bool(labelled.any()):
            return logits.sum() * 0.0
        if self.frequencies is not None:
            weights = logits.new_tensor(self.frequencies) ** -self.balance
        else:
            counts = torch.bincount(target[labelled], minlength=logits.shape[1]).to(logits.dtype)
            weights = torch.where(counts > 0, (counts.sum() / counts.clamp_min(1.0)) ** self.balance, 0.0)
        void = self.classes.ignore_index
        return F.cross_entropy(logits, target.masked_fill(~labelled, void), weight=weights, ignore_index=void)


def _create(config: SmpConfig, classes: int, weights: str | None) -> nn.Module:
    """Build the network, with pretrained encoder weights if any; errors state what to change in the recipe."""
    from fusekit_tasks.packaged import packaged_weights
    from fusekit_tasks.pretrained import require_cached

    arguments: dict[str, Any] = dict(config.options)
    _check_options(config)
    packaged = weights == "packaged"
    if weights is not None and not packaged:
        require_cached(config.encoder, weights)
    try:
        net: nn.Module = smp.create_model(
            config.architecture,
            encoder_name=config.encoder,
            encoder_weights=None if packaged else weights,
            in_channels=config.channels,
            classes=classes,
            **arguments,
        )
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        text = str(error).strip("\"'").splitlines()[0][:300]
        raise UsageError(
            f"tasks.smp cannot build architecture {config.architecture!r} with encoder {config.encoder!r}: {text}",
            hint="use an architecture and an encoder of segmentation-models-pytorch; `options` are the "
            "arguments of the architecture",
        ) from error
    if packaged:
        encoder = net.get_submodule("encoder")
        encoder.load_state_dict(packaged_weights(config.encoder, encoder.state_dict()))
    return net


def _check_options(config: SmpConfig) -> None:
    """Refuse options that are not named arguments of the architecture.

    The library passes unknown arguments to the encoder. Some encoders ignore them, and timm encoders load weights from
    any file that they name.
    """
    architecture = smp.MODEL_ARCHITECTURES_MAPPING.get(config.architecture.lower())
    if architecture is None:
        raise UsageError(
            f"tasks.smp cannot build architecture {config.architecture!r}: there is no architecture of that name"
            f"{did_you_mean(config.architecture, smp.MODEL_ARCHITECTURES_MAPPING)}",
            hint=f"architectures: {', '.join(sorted(smp.MODEL_ARCHITECTURES_MAPPING))}",
        )
    arguments = inspect.signature(architecture.__init__).parameters.values()
    known = {argument.name for argument in arguments if argument.kind is not argument.VAR_KEYWORD} - {"self"}
    for option in config.options:
        if option in _SET_BY_FUSEKIT:
            raise UsageError(f"tasks.smp: option {option!r} is set by fusekit", hint=_SET_BY_FUSEKIT[option])
        if option not in known:
            raise UsageError(
                f"tasks.smp cannot build {config.architecture!r}: it has no option {option!r}"
                f"{did_you_mean(option, known)}",
                hint=f"its options: {', '.join(sorted(known - _SET_BY_FUSEKIT.keys()))}",
            )
