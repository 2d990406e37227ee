"""Small images, class tables and batches for checking components."""

from __future__ import annotations

import torch
from torch import Tensor

from fusekit.interfaces.context import ClassTable
from fusekit.interfaces.types import Batch, Boxes

SIZES = ((16, 16), (33, 47), (64, 64))
"""Image sizes that every component must support: the smallest, one that is not divisible, a common one."""

BATCHES = (1, 3)


def images(
    count: int, batch: int = 2, height: int = 33, width: int = 47, channels: int = 1, seed: int = 0
) -> tuple[Tensor, ...]:
    """Random sources, each (batch, channels, height, width) in [0, 1]; reproducible for the same arguments."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.rand(batch, channels, height, width, generator=generator) for _ in range(count))


def labels(classes: int, batch: int = 2, height: int = 33, width: int = 47, seed: int = 0) -> Tensor:
    """Label maps of blocks of 8 pixels, (batch, height, width) int64."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, classes, (batch, -(-height // 8), -(-width // 8)), generator=generator)
    return blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :height, :width].contiguous()


def boxes(classes: int, batch: int = 2, height: int = 33, width: int = 47, seed: int = 0) -> tuple[Boxes, ...]:
    """Three random boxes in each of `batch` images, of which the last one is ignored."""
    generator = torch.Generator().manual_seed(seed)
    limits = torch.tensor([width, height])
    made = []
    for _ in range(batch):
        low = torch.rand(3, 2, generator=generator) * limits * 0.6
        high = low + (0.1 + 0.3 * torch.rand(3, 2, generator=generator)) * limits
        kinds = torch.randint(0, classes, (3,), generator=generator)
        made.append(Boxes(torch.cat([low, high], dim=1), kinds, torch.tensor([False, False, True])))
    return tuple(made)


def class_table(count: int = 4) -> ClassTable:
    """A table of `count` classes; 255 is ignored."""
    return ClassTable(
        tuple(f"class {index}" for index in range(count)), tuple((20 * index, 0, 0) for index in range(count))
    )


class SyntheticBatches:
    """Batches for a trainer, as pure functions of stream, epoch and index."""

    batches_per_epoch = 2

    def __init__(self, roles: tuple[str, ...], classes: ClassTable | None, channels: int = 1, side: int = 32) -> None:
        self.roles, self.classes, self.channels, self.side = roles, classes, channels, side

    def batch(self, stream: str, epoch: int, index: int) -> Batch:
        """Two scenes whose brightness depends on the class, so that a network can learn from them."""
        seed = 1000 * epoch + 10 * index + sum(stream.encode()) % 10
        noise = images(len(self.roles), 2, self.side, self.side, self.channels, seed)
        count = len(self.classes) if self.classes is not None else 4
        label_maps = labels(count, 2, self.side, self.side, seed)
        shade = label_maps[:, None] / count
        sources = tuple(0.8 * abs(shade - 0.3 * i) + 0.2 * image for i, image in enumerate(noise))
        ids = tuple(f"{stream}-{epoch}-{index}-{n}" for n in range(2))
        if self.classes is None:
            return Batch(sources, None, ids)
        return Batch(sources, label_maps, ids, boxes(count, 2, self.side, self.side, seed))
