"""Which colour a fused picture gets: decided once for all of its parts, or for all pictures of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from fusekit.data.colour import chroma, join, luminance, restore_colour
from fusekit.errors import UsageError

CHOICES = ("auto", "luma", "channels")


@dataclass(frozen=True)
class Colouring:
    """A colour policy with its decisions made.

    Attributes:
        channels: Channels of the result, 1 or 3.
        separate: Red, green and blue are fused separately; nothing is added afterwards.
        lenders: Indices of the sources whose chroma the result gets.
        own: The backbone fuses RGB itself, and its colours stay.
    """

    channels: Literal[1, 3]
    separate: bool = False
    lenders: tuple[int, ...] = ()
    own: bool = False

    @classmethod
    def choose(cls, choice: str, coloured: Sequence[bool], roles: Sequence[str], backbone: str) -> Colouring:
        """Decides.

        Args:
            choice: ``auto``, ``luma``, ``channels`` or a role.
            coloured: Of each source, whether it is in colour.
            roles: Roles of the sources.
            backbone: ``luma`` or ``rgb``, what the backbone works on.

        Raises:
            UsageError: There is no such role, or the backbone cannot do it.
        """
        if choice == "luma":
            return cls(1)
        if choice == "channels":
            if backbone == "rgb":
                raise UsageError("colour 'channels': this model fuses colour as a whole", hint="take colour 'auto'")
            return cls(3, separate=True) if any(coloured) else cls(1)
        if choice in roles:
            index = list(roles).index(choice)
            return cls(3, lenders=(index,)) if coloured[index] else cls(1)
        if choice != "auto":
            known = ", ".join([*CHOICES, *roles])
            raise UsageError(f"colour {choice!r} is neither a choice nor a role", hint=f"there are {known}")
        if backbone == "rgb":
            return cls(3, own=True)
        lenders = tuple(index for index, colour in enumerate(coloured) if colour)
        return cls(3, lenders=lenders) if lenders else cls(1)

    @property
    def fused_channels(self) -> Sequence[int | None]:
        """What is fused, one after the other: each of three channels, or None for the images as they are."""
        return range(3) if self.separate else [None]

    def apply(self, fused: Tensor, images: Sequence[Tensor]) -> Tensor:
        """Gives fused values their colour.

        Args:
            fused: (…, 1 or 3, H, W) in [0, 1], as the backbone made it.
            images: The sources, each (…, 1 or 3, H, W) in [0, 1].

        Returns:
            (…, `channels`, H, W) in [0, 1].
        """
        if self.own or self.separate:
            return fused
        fused = luminance(fused)
        if not self.lenders:
            return fused
        if len(self.lenders) == 1:
            return join(fused, chroma(images[self.lenders[0]].to(fused)))
        made = restore_colour(fused, [images[index] for index in self.lenders])
        return made.expand(*made.shape[:-3], 3, *made.shape[-2:])  # a part without any colour comes back grey


def of_channel(images: Sequence[Tensor], channel: int | None) -> list[Tensor]:
    """One channel (…, 1, H, W) of images, grey ones having but one; the images themselves where None is asked for."""
    if channel is None:
        return list(images)
    return [image.narrow(-3, min(channel, image.shape[-3] - 1), 1) for image in images]
