"""CenterNet: objects as points (Zhou, Wang and Krähenbühl, arXiv 1904.07850), small, on an encoder of timm.

The network predicts, at a quarter of the resolution, a heat map of object centres for every class, and at every centre
the size of the object and the position of the centre inside its cell. This file has the algorithm in the order of the
paper: the network, the heat map of the boxes, the loss, the objects in an output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusekit.compat.torchvision_ops import import_torchvision
from fusekit.errors import UsageError
from fusekit.interfaces import BuildContext, DetectionNetwork
from fusekit.interfaces.types import Boxes, Detections
from fusekit.words import did_you_mean
from fusekit_tasks.config import CenterNetConfig
from fusekit_tasks.inputs import to_channels
from fusekit_tasks.second_order import differentiates_twice

import_torchvision()  # timm imports it, and fails if torchvision does not match the installed torch
import timm  # noqa: E402

STRIDE = 4
"""R of the paper: pixels per cell of the output, along each axis."""

_STRIDES = (4, 8, 16, 32)
_PRIOR = 0.1  # score of every cell before training: nearly all cells are background
_ALPHA, _BETA = 2, 4


class CenterNet(DetectionNetwork):
    """Anchor-free detector: encoder of timm, top-down decoder to stride 4, heads for centres, sizes and offsets.

    Takes (B, 1 or 3, H, W) in [0, 1] with any H, W ≥ 16: converts to the network's number of channels, scales to
    [-1, 1] and pads by replication to a multiple of 32. Building it downloads nothing.

    The output is (B, K + 4, ⌈H/4⌉, ⌈W/4⌉): K logits of the heat map Ŷ, the size (width, height) in pixels, and the
    offset (x, y) of the centre in its cell, in cells.
    """

    Config = CenterNetConfig
    config: CenterNetConfig

    def __init__(self, config: CenterNetConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        width, count = self.config.width, len(self.classes)
        self.encoder, self.levels, channels = _encoder(self.config, pretrained=self.context.pretrained)
        self.lateral = nn.ModuleList(nn.Conv2d(inside, width, 1) for inside in channels)
        self.merge = nn.ModuleList(_block(width) for _ in channels)
        self.heat, self.size, self.offset = _head(width, count), _head(width, 2), _head(width, 2)
        nn.init.constant_(self.heat[-1].bias, math.log(_PRIOR / (1 - _PRIOR)))  # type: ignore[arg-type]
        self._second_order: bool | None = None

    @property
    def second_order(self) -> bool:  # type: ignore[override]
        """Whether the network is twice differentiable, tested once with a small image."""
        if self._second_order is None:
            self._second_order = differentiates_twice(self)
        return self._second_order

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = to_channels(image, self.config.channels) * 2.0 - 1.0
        x = F.pad(x, (0, -width % _STRIDES[-1], 0, -height % _STRIDES[-1]), mode="replicate")
        try:
            features = self.encoder(x)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UsageError(
                "tasks.centernet: batch normalisation cannot be trained with a single image of up to 32 pixels",
                hint="use a larger sampling.size, or at least two images per process",
            ) from error
        # From the coarsest level down: the sum of the level and of the coarser levels, doubled in size.
        merged: Tensor | None = None
        for level, lateral, merge in zip(self.levels[::-1], self.lateral[::-1], self.merge[::-1], strict=True):
            same = lateral(features[level])
            merged = merge(same if merged is None else same + F.interpolate(merged, scale_factor=2.0, mode="nearest"))
        assert merged is not None
        # The size head counts in cells, so that its values are of order one; the output is in pixels.
        output = torch.cat([self.heat(merged), STRIDE * self.size(merged), self.offset(merged)], dim=1)
        return output[..., : -(-height // STRIDE), : -(-width // STRIDE)]

    def loss(self, logits: Tensor, target: tuple[Boxes, ...]) -> Tensor:
        """L_k + λ_size L_size + L_off of the paper, for a batch with N objects in all.

        L_k = -1/N Σ (1 - Ŷ)^α log Ŷ at centres (Y = 1), (1 - Y)^β Ŷ^α log(1 - Ŷ) elsewhere, α = 2, β = 4; L_size and
        L_off are Σ |·| / N over the objects. Ignored boxes are left out of the background.

        Args:
            logits: (B, K + 4, h, w), as `forward` returns them.
            target: The boxes of each image, in pixels.
        """
        count = len(self.classes)
        total, objects = logits.sum() * 0.0, 0
        for output, boxes in zip(logits, target, strict=True):
            wanted = encode(boxes, count, (output.shape[-2], output.shape[-1]), self.config.overlap)
            rows, columns = wanted.cells.unbind(dim=1)
            found = output[count:, rows, columns].T  # (M, 4) size and offset at the centres
            total = total + focal_loss(output[:count], wanted.heat.to(output), wanted.counted)
            total = total + self.config.size_weight * (found[:, :2] - wanted.sizes).abs().sum()
            total = total + (found[:, 2:] - wanted.offsets).abs().sum()
            objects += len(wanted.cells)
        return total / max(objects, 1)

    def predict(self, logits: Tensor) -> tuple[Detections, ...]:
        """The objects at the peaks of the heat map: cells that no cell of their 3x3 neighbourhood exceeds."""
        return tuple(decode(output, len(self.classes), self.config.objects) for output in logits)


@dataclass(frozen=True)
class Target:
    """What the output should be for the M objects of an image.

    Attributes:
        heat: Y, (K, h, w) in [0, 1]: 1 at the centres, a Gaussian around them.
        counted: (K, h, w) bool: false in ignored regions, where the heat map is not trained.
        cells: Row and column of each centre, (M, 2) int64.
        sizes: Width and height in pixels, (M, 2).
        offsets: x and y of each centre in its cell, (M, 2) in [0, 1).
    """

    heat: Tensor
    counted: Tensor
    cells: Tensor
    sizes: Tensor
    offsets: Tensor


def encode(boxes: Boxes, classes: int, size: tuple[int, int], overlap: float = 0.7) -> Target:
    """The target of an image.

    Y = exp(-((x - x̃)² + (y - ỹ)²) / 2σ²) around the cell (x̃, ỹ) of each centre; where Gaussians of a class overlap,
    the larger value. σ is a third of the Gaussian's radius (CornerNet, arXiv 1808.01244).

    Args:
        boxes: The boxes, in pixels.
        classes: Number of classes K.
        size: (h, w) of the output.
        overlap: See `gaussian_radius`.
    """
    height, width = size
    corners, labels = boxes.corners[~boxes.ignored], boxes.classes[~boxes.ignored]
    rows = torch.arange(height, device=corners.device)[:, None]
    columns = torch.arange(width, device=corners.device)
    heat = corners.new_zeros(classes, height, width)
    centres = (corners[:, :2] + corners[:, 2:]) / 2 / STRIDE
    cells = centres.floor().long()
    cells = torch.minimum(cells, cells.new_tensor([width - 1, height - 1]))
    sizes = corners[:, 2:] - corners[:, :2]
    sigmas = gaussian_radius(sizes / STRIDE, overlap) / 3
    for label, (column, row), sigma in zip(labels.tolist(), cells.tolist(), sigmas.tolist(), strict=True):
        bell = torch.exp(-((columns - column) ** 2 + (rows - row) ** 2) / (2 * max(sigma, 1e-3) ** 2))
        heat[label] = torch.maximum(heat[label], bell)
    counted = torch.ones_like(heat, dtype=torch.bool)
    x, y = STRIDE * (columns + 0.5), STRIDE * (rows + 0.5)
    x[-1], y[-1] = x[-1] - 1.5, y[-1] - 1.5  # the border can cut the last cells: there, the first pixel decides
    for label, box in zip(boxes.classes[boxes.ignored].tolist(), boxes.corners[boxes.ignored].tolist(), strict=True):
        left, top, right, bottom = box
        inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
        counted[slice(None) if label < 0 else label] &= ~inside
    return Target(heat, counted | (heat == 1), cells.flip(1), sizes, centres - cells)


def gaussian_radius(sizes: Tensor, overlap: float) -> Tensor:
    """Largest r such that a box whose corners are off by r in x and y still has an IoU of at least `overlap`.

    The smallest of three cases, with box w x h, t = `overlap`: both corners shifted the same way,
    (w - r)(h - r) / (2wh - (w - r)(h - r)) = t; both inwards, (w - 2r)(h - 2r) / wh = t; both outwards,
    wh / ((w + 2r)(h + 2r)) = t (CornerNet).

    Args:
        sizes: Width and height, (M, 2), in any unit.
        overlap: t, in (0, 1).

    Returns:
        (M,), in the same unit.
    """
    total, area, t = sizes.sum(dim=1), sizes.prod(dim=1), overlap
    shifted = (total - (total**2 - 4 * area * (1 - t) / (1 + t)).clamp_min(0).sqrt()) / 2
    inwards = (total - (total**2 - 4 * area * (1 - t)).clamp_min(0).sqrt()) / 4
    outwards = ((total**2 + 4 * area * (1 - t) / t).sqrt() - total) / 4
    return torch.stack([shifted, inwards, outwards]).amin(dim=0)


def focal_loss(logits: Tensor, heat: Tensor, counted: Tensor) -> Tensor:
    """Penalty-reduced focal loss, summed over the counted cells.

    Args:
        logits: Of Ŷ, (K, h, w).
        heat: Y, (K, h, w).
        counted: (K, h, w) bool.
    """
    score, log_score, log_rest = logits.sigmoid(), F.logsigmoid(logits), F.logsigmoid(-logits)
    centre = (1 - score) ** _ALPHA * log_score
    background = (1 - heat) ** _BETA * score**_ALPHA * log_rest
    return -torch.where(heat == 1, centre, background)[counted].sum()


def decode(output: Tensor, classes: int, objects: int) -> Detections:
    """The objects in an output.

    Args:
        output: (K + 4, h, w), as `CenterNet.forward` returns it.
        classes: Number of classes K.
        objects: Largest number of objects.
    """
    heat = output[:classes].float().sigmoid()
    peaks = heat == F.max_pool2d(heat, kernel_size=3, stride=1, padding=1)
    scores, found = (heat * peaks).flatten().topk(min(objects, heat.numel()))
    scores, found = scores[scores > 0], found[scores > 0]
    height, width = heat.shape[-2:]
    labels, rows, columns = found // (height * width), found // width % height, found % width
    sizes, offsets = output[classes:, rows, columns].float().T.split(2, dim=1)
    centres = STRIDE * (torch.stack([columns, rows], dim=1) + offsets)
    half = sizes.clamp_min(0) / 2
    return Detections(torch.cat([centres - half, centres + half], dim=1), labels, scores)


def _block(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


def _head(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, outputs, 1))


def _encoder(config: CenterNetConfig, *, pretrained: bool) -> tuple[nn.Module, list[int], list[int]]:
    """The encoder, the positions of the strides 4, 8, 16 and 32 among its features, and their channels."""
    from fusekit_tasks.packaged import packaged_weights

    if not timm.is_model(config.encoder):
        raise UsageError(
            f"tasks.centernet: timm has no encoder {config.encoder!r}{did_you_mean(config.encoder, timm.list_models())}"
        )
    try:
        encoder: Any = timm.create_model(config.encoder, pretrained=False, features_only=True, in_chans=config.channels)
    except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError) as error:
        text = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise UsageError(f"tasks.centernet cannot use encoder {config.encoder!r}: {text}") from error
    reductions = encoder.feature_info.reduction()
    missing = [stride for stride in _STRIDES if stride not in reductions]
    if missing:
        raise UsageError(
            f"tasks.centernet cannot use encoder {config.encoder!r}: it has features at the strides "
            f"{', '.join(map(str, reductions))}, but not at {', '.join(map(str, missing))}",
            hint="choose a convolutional encoder, such as tf_efficientnet_lite0 or mobilenetv3_small_100",
        )
    if config.weights is not None and pretrained:
        encoder.load_state_dict(packaged_weights(f"tu-{config.encoder}", encoder.state_dict()))
    levels = [reductions.index(stride) for stride in _STRIDES]
    return encoder, levels, [encoder.feature_info.channels()[level] for level in levels]
