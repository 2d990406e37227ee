"""Guidance of a whole image, provided to its tiles.

The output of a task network depends on the content of the whole image, which a tile does not show. The network is run
once, on the image at a reduced size; all tiles share the results.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.fusing.tiling.boxes import Box
from fusekit.interfaces.guidance import Guidance, RegionAttribution


class RecordedGuidance(Guidance):
    """Wrapper of a guidance that records its gradients in the order of the calls."""

    def __init__(self, guidance: Guidance) -> None:
        self.guidance = guidance
        self.gradients: list[Tensor] = []

    def attribution(self) -> RegionAttribution:
        """The attribution of the wrapped guidance, which computes it once."""
        return self.guidance.attribution()

    def task_gradient(self, image: Tensor) -> Tensor:
        """The gradient of the wrapped guidance."""
        gradient = self.guidance.task_gradient(image)
        self.gradients.append(gradient)
        return gradient


class TileGuidance(Guidance):
    """Guidance for a window of an image, derived from the guidance of the whole image at a reduced size.

    Scores and gradients are those of means over pixels, so each pixel's share falls as the number of pixels
    grows: both are multiplied by (pixels of the reduced image) / (pixels of the image). Regions are enlarged by the
    nearest pixel, gradients bilinearly, by positions in the image, so overlapping windows agree on every pixel.

    Args:
        recorded: Guidance recorded while the backbone fused the reduced image. For a window, the backbone makes the
            same calls in the same order.
        window: The window.
        size: Height and width of the image.
    """

    def __init__(self, recorded: RecordedGuidance, window: Box, size: tuple[int, int]) -> None:
        self.recorded = recorded
        self.window = window
        self.size = size
        self._calls = 0

    def attribution(self) -> RegionAttribution:
        """The image's attribution, with the regions of the window, (1, h, w)."""
        reduced = self.recorded.attribution()
        height, width = reduced.regions.shape[-2:]
        rows = torch.arange(self.window.top, self.window.bottom, device=reduced.regions.device)
        columns = torch.arange(self.window.left, self.window.right, device=reduced.regions.device)
        # The centre of a pixel, (y + ½) / H of the height, is in row ⌊(2y + 1) h / 2H⌋ of the reduced image.
        rows = (2 * rows + 1) * height // (2 * self.size[0])
        columns = (2 * columns + 1) * width // (2 * self.size[1])
        scores = reduced.scores * self._share(height, width)
        return replace(reduced, scores=scores, regions=reduced.regions[:, rows[:, None], columns])

    def task_gradient(self, image: Tensor) -> Tensor:
        """The gradient recorded at the same step for the reduced image, (1, C, h, w)."""
        if self._calls == len(self.recorded.gradients):
            raise RuntimeError("the backbone requests more gradients on a tile than on the reduced image")
        gradient = self.recorded.gradients[self._calls]
        self._calls += 1
        rows = _from_minus_to_plus_one(self.window.top, self.window.bottom, self.size[0])
        columns = _from_minus_to_plus_one(self.window.left, self.window.right, self.size[1])
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)[None].to(gradient)
        enlarged = F.grid_sample(gradient, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return enlarged * self._share(*gradient.shape[-2:])

    def _share(self, height: int, width: int) -> float:
        return (height * width) / (self.size[0] * self.size[1])


def _from_minus_to_plus_one(start: int, stop: int, length: int) -> Tensor:
    """Centres of the pixels from `start` to `stop` of a side, in coordinates from -1 to 1."""
    return (2 * torch.arange(start, stop, dtype=torch.float64) + 1) / length - 1
