"""What a fusion backbone keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from fusekit.interfaces.types import FusionOutput
from fusekit.interfaces.whole_image import Sums, sums_from
from fusekit.plugin.imports import one_line
from fusekit.testing.expect import expect, expect_image, expect_shape, expect_within
from fusekit.testing.samples import images
from fusekit.testing.sources import SourcesContract

_PART_TOLERANCE = 1e-4  # float32 rounds otherwise where rows have another length


class RememberedSums:
    """Sums over the image as the network took them from the whole, given to it again when it sees a part."""

    def __init__(self, known: list[Sums] | None = None) -> None:
        self.known = known
        self.taken: list[Sums] = []

    def sums(self, of: Callable[..., Sums], maps: tuple[Tensor, ...]) -> Sums:
        found = of(*maps) if self.known is None else self.known[len(self.taken)]
        self.taken.append(found)
        return found

    def again(self) -> RememberedSums:
        """A source of what this one has taken."""
        return RememberedSums(self.taken)


class BackboneContract(SourcesContract):
    """Checks of a fusion backbone."""

    kind = "backbone"

    def inputs(self, batch: int = 2, height: int = 33, width: int = 47) -> tuple[Tensor, ...]:
        channels = 3 if getattr(self.component(), "colour", "luma") == "rgb" else 1
        return images(len(self.roles), batch, height, width, channels)

    def output(self, module: Callable[..., Any], sources: tuple[Tensor, ...]) -> FusionOutput:
        """All that it returns."""
        output: FusionOutput = module(sources, guidance=self.guidance(sources))
        return output

    def call(self, module: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Tensor:
        return self.output(module, inputs).image

    def test_image_has_the_size_of_the_sources(self) -> None:
        """Sources of any size from 16 pixels on, in any batch, give an image of that size."""
        module = self.make().eval()
        for batch, height, width in self.every_size():
            sources = self.inputs(batch, height, width)
            with torch.no_grad():
                output = self.output(module, sources)
            where = f"{batch} images of {height}x{width}"
            expect_shape(f"image of {where}", output.image, sources[0].shape)
            for number, stage in enumerate(output.stages):
                expect_shape(f"stages[{number}] of {where}", stage, sources[0].shape)

    def test_image_is_an_image(self) -> None:
        """The fused image is float32, finite and in [0, 1], so that it can be written and compared."""
        with torch.no_grad():
            expect_image("fused image", self.call(self.make().eval(), self.inputs()))

    def test_shares_sum_to_one(self) -> None:
        """The shares of the sources that it reports, if any, are not negative and sum to one."""
        sources = self.inputs()
        with torch.no_grad():
            weights = self.output(self.make().eval(), sources).weights
        if weights is None:
            raise SkipTest("it reports no shares")
        batch, _, height, width = sources[0].shape
        expect_shape("weights", weights, (batch, len(sources), height, width))
        expect_within("weights", weights, 0.0, 1.0, slack=1e-5)
        expect_within("sum of the weights over the sources", weights.sum(dim=1), 1.0, 1.0, slack=1e-5)

    def test_works_without_guidance(self) -> None:
        """It fuses without a task network beside it."""
        module, sources = self.make().eval(), self.inputs()
        try:
            with torch.no_grad():
                image = module(sources, guidance=None).image
        except Exception as error:
            raise AssertionError(f"guidance=None: expected an image, found {one_line(error)}") from error
        expect_shape("image without guidance", image, sources[0].shape)

    def test_takes_as_many_sources_as_it_says(self) -> None:
        """It fuses any number of sources, or the number that `source_count` says."""
        built = 0
        for module, sources in self.of_any_count():
            built += 1
            try:
                with torch.no_grad():
                    image = self.output(module, sources).image
            except Exception as error:
                raise AssertionError(
                    f"{len(sources)} sources: expected an image, found {one_line(error)}; set `source_count` where the "
                    "number is fixed"
                ) from error
            expect_shape(f"image of {len(sources)} sources", image, sources[0].shape)
        expect(built > 0, "expected that it can be built for some number of sources from 1 to 4, found none")

    def test_sees_as_far_as_it_says(self) -> None:
        """A part of an image gives the same there as the whole, but for the border that `reach` and `stride` say."""
        module = self.make().eval()
        reach, stride = module.reach, module.stride
        if reach is None:
            raise SkipTest("it does not say how far it reaches")
        shown = 2 * reach + 32
        height, width = 2 * stride + shown, 3 * stride + shown
        whole, sums = self.inputs(1, height, width), RememberedSums()
        part = tuple(source[..., stride : stride + shown, stride : stride + shown] for source in whole)
        with torch.no_grad():
            with sums_from(sums):
                image = module(whole, guidance=None).image
            with sums_from(sums.again()):
                found = module(part, guidance=None).image
        inner, outer = slice(reach, shown - reach), slice(stride + reach, stride + shown - reach)
        apart = float((found[..., inner, inner] - image[..., outer, outer]).abs().max())
        expect(
            apart <= _PART_TOLERANCE,
            f"a part of {shown}x{shown} pixels: expected, {reach} pixels from its border, what the whole image has, "
            f"found a difference of {apart:.3g}; `reach` or `stride` is too small, or sums over the image do not go "
            "through `image_sums`",
        )

    def test_can_be_differentiated_twice(self) -> None:
        """Its gradient has a gradient, which strategies that learn a loss differentiate through."""
        self._check_twice_differentiable()
