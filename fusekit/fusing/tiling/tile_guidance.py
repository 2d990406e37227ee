"""What a task network says about a whole image, told to one tile of it at a time.

A task network judges a picture by its content, which a tile does not show. It is asked once, about the picture at a
reduced size; the tiles share its answers.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.fusing.tiling.boxes import Box
from fusekit.interfaces.guidance import Guidance, RegionAttribution


class RememberedGuidance(Guidance):
    """Passes on what another guidance says about an image, and remembers its gradients in the order of asking."""

    def __init__(self, guidance: Guidance) -> None:
        self.guidance = guidance
        self.gradients: list[Tensor] = []

    def attribution(self) -> RegionAttribution:
        """The other's attribution, which computes it once."""
        return self.guidance.attribution()

    def task_gradient(self, image: Tensor) -> Tensor:
        """The other's gradient."""
        gradient = self.guidance.task_gradient(image)
        self.gradients.append(gradient)
        return gradient


class TileGuidance(Guidance):
    """Guidance for a window of an image, from what was said about the whole of it at a reduced size.

    Scores and gradients are of means over pixels, so that each pixel's share falls as their number grows: both are
    multiplied by (pixels of the reduced image) / (pixels of the image). Regions are enlarged by the nearest pixel,
    gradients bilinearly, by positions in the image: overlapping windows agree on every pixel.

    Args:
        remembered: The answers to a backbone that fused the reduced image. One that fuses a window asks the same
            questions in the same order.
        window: The window.
        size: Height and width of the image.
    """

    def __init__(self, remembered: RememberedGuidance, window: Box, size: tuple[int, int]) -> None:
        self.remembered = remembered
        self.window = window
        self.size = size
        self._asked = 0

    def attribution(self) -> RegionAttribution:
        """The image's attribution, with the regions of the window, (1, h, w)."""
        reduced = self.remembered.attribution()
        height, width = reduced.regions.shape[-2:]
        rows = torch.arange(self.window.top, self.window.bottom, device=reduced.regions.device)
        columns = torch.arange(self.window.left, self.window.right, device=reduced.regions.device)
        # The centre of a pixel, (y + ½) / H of the height, lies in row ⌊(2y + 1) h / 2H⌋ of the reduced image.
        rows = (2 * rows + 1) * height // (2 * self.size[0])
        columns = (2 * columns + 1) * width // (2 * self.size[1])
        scores = reduced.scores * self._share(height, width)
        return replace(reduced, scores=scores, regions=reduced.regions[:, rows[:, None], columns])

    def task_gradient(self, image: Tensor) -> Tensor:
        """The gradient at the same step of fusing the reduced image, (1, C, h, w)."""
        if self._asked == len(self.remembered.gradients):
            raise RuntimeError("the backbone asks for more gradients on a tile than it did on the reduced image")
        gradient = self.remembered.gradients[self._asked]
        self._asked += 1
        rows = _from_minus_to_plus_one(self.window.top, self.window.bottom, self.size[0])
        columns = _from_minus_to_plus_one(self.window.left, self.window.right, self.size[1])
        places = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)[None].to(gradient)
        enlarged = F.grid_sample(gradient, places, mode="bilinear", padding_mode="border", align_corners=False)
        return enlarged * self._share(*gradient.shape[-2:])

    def _share(self, height: int, width: int) -> float:
        return (height * width) / (self.size[0] * self.size[1])


def _from_minus_to_plus_one(start: int, stop: int, length: int) -> Tensor:
    """Centres of some pixels of a side that runs from -1 to 1."""
    return (2 * torch.arange(start, stop, dtype=torch.float64) + 1) / length - 1
