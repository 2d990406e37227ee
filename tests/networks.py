"""Small networks for tests, with every weight known by its seed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fusekit.interfaces import BuildContext, ClassTable, SegmentationNetwork

ROLES = ("infrared", "visible")


def class_table(count: int = 9, unlabelled: int | None = 0) -> ClassTable:
    """A table of so many classes."""
    names = tuple(f"class {index}" for index in range(count))
    return ClassTable(names, tuple((20 * index, 0, 0) for index in range(count)), 255, unlabelled)


class TinySegmenter(SegmentationNetwork):
    """3x3 convolution to 8 channels, tanh, 3x3 convolution to the classes, sigmoid; twice differentiable."""

    second_order = True

    def __init__(self, classes: int = 9, seed: int = 0) -> None:
        super().__init__(None, BuildContext(roles=ROLES, classes=class_table(classes)))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.net = nn.Sequential(
                nn.Conv2d(1, 8, 3, padding=1), nn.Tanh(), nn.Conv2d(8, classes, 3, padding=1), nn.Sigmoid()
            )

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.net(image)
        return out


def scene(
    batch: int = 2,
    height: int = 24,
    width: int = 32,
    classes: int = 4,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Two random sources and a blocky label map."""
    generator = torch.Generator().manual_seed(seed)
    sources = tuple(torch.rand(batch, 1, height, width, generator=generator, dtype=dtype) for _ in range(2))
    blocks = torch.randint(0, classes, (batch, height // 8, width // 8), generator=generator)
    labels = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)
    return (sources[0], sources[1]), labels
