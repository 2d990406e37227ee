"""The fusion backbone: several sources in, one image out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from torch import nn

from fusekit.errors import PluginError
from fusekit.interfaces.component import Component
from fusekit.interfaces.guidance import Guidance
from fusekit.interfaces.types import FusionOutput, Sources


class FusionBackbone(Component, nn.Module, ABC):
    """Fuses N ≥ 1 registered sources into one image.

    A backbone may have no parameters (a mean of the sources, for example), and may wrap another backbone. It accepts
    any H, W ≥ 16: if it needs a multiple of some number, it pads the sources and crops the result itself.

    Attributes:
        colour: ``"luma"``: sources have one channel, and the colour policy restores the chroma afterwards.
            ``"rgb"``: sources have three channels, and so has the result.
        uses_guidance: Whether `forward` uses its ``guidance``; if False, none is made for it.
        source_count: Number of sources that it takes, or None for any number.
        reach: Largest distance in pixels at which a source pixel can change the result (half the receptive field),
            apart from sums over the whole image taken by `fusekit.interfaces.image_sums`. If it is given, the tiled
            result of a large image equals the untiled one. None means unknown: tiles then overlap by an estimated
            margin and are blended.
        stride: Shifting the sources by a multiple of this many pixels shifts the result likewise; 1 for plain
            convolutions, 2ⁿ for a network or pyramid that halves the size n times. Tiles start at multiples of it.
    """

    colour: ClassVar[Literal["luma", "rgb"]] = "luma"
    uses_guidance: ClassVar[bool] = False
    source_count: ClassVar[int | None] = None
    reach: int | None = None
    stride: int = 1

    def __call__(self, *args: Any, **kwargs: Any) -> FusionOutput:
        output = super().__call__(*args, **kwargs)
        if not isinstance(output, FusionOutput):
            made, name = type(output).__name__, type(self).__name__
            raise PluginError(f"{name}.forward returns a {made}", hint="return FusionOutput(image) from it")
        return output

    @abstractmethod
    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> FusionOutput:
        """Fuses the sources.

        Args:
            sources: N images, each (B, C, H, W) in [0, 1], ordered by role; never modified.
            guidance: Guidance from the task network; None if the model has no guidance. A backbone must work
                without it.

        Returns:
            The fused image, (B, C, H, W) in [0, 1], of the size of the sources.
        """
