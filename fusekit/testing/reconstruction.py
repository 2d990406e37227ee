"""Contract of reconstruction heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fusekit.testing.expect import expect, expect_image, expect_shape
from fusekit.testing.module import ModuleContract
from fusekit.testing.samples import images


class ReconstructionContract(ModuleContract):
    """Checks of a reconstruction head."""

    kind = "reconstruction"

    def inputs(self, batch: int = 2, height: int = 33, width: int = 47) -> tuple[Tensor, ...]:
        return images(1, batch, height, width, self.channels)

    def call(self, module: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Tensor:
        return torch.cat(tuple(module(*inputs)), dim=1)

    def test_gives_an_image_per_role(self) -> None:
        """There is one image per source, for any number of sources."""
        for count in (1, 2, 3):
            roles = tuple("abc"[:count])
            with torch.no_grad():
                found = self.make(roles=roles).eval()(*self.inputs())
            expect(len(found) == count, f"sources of {count} roles: expected {count} images, found {len(found)}")

    def test_images_have_the_size_of_the_fused_one(self) -> None:
        """For fused images of any size and any batch size, the images have the size of the fused image."""
        module = self.make().eval()
        for batch, height, width in self.every_size():
            (fused,) = self.inputs(batch, height, width)
            with torch.no_grad():
                rebuilt = module(fused)
            for number, image in enumerate(rebuilt):
                expect_shape(f"image {number} of {batch} images of {height}x{width}", image, fused.shape)

    def test_images_are_images(self) -> None:
        """The images are float32, finite and in [0, 1], like the sources that they are compared with."""
        with torch.no_grad():
            for number, image in enumerate(self.make().eval()(*self.inputs())):
                expect_image(f"image {number}", image)
