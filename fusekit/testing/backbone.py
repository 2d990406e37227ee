"""Contract of fusion backbones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from fusekit.interfaces.global_statistics import Sums, sums_from
from fusekit.interfaces.types import FusionOutput
from fusekit.plugin.imports import one_line
from fusekit.testing.expect import expect, expect_image, expect_shape, expect_within
from fusekit.testing.samples import images
from fusekit.testing.sources import SourcesContract

_PART_TOLERANCE = 1e-4  # float32 rounding differs between row lengths


class RecordedSums:
    """Global sums recorded while the network processes the full image, replayed while it processes a part."""

    def __init__(self, known: list[Sums] | None = None) -> None:
        self.known = known
        self.recorded: list[Sums] = []

    def sums(self, of: Callable[..., Sums], maps: tuple[Tensor, ...]) -> Sums:
        sums = of(*maps) if self.known is None else self.known[len(self.recorded)]
        self.recorded.append(sums)
        return sums

    def replay(self) -> RecordedSums:
        """A copy that returns the recorded sums."""
        return RecordedSums(self.recorded)


class BackboneContract(SourcesContract):
    """Checks of a fusion backbone."""

    kind = "backbone"

    def inputs(self, batch: int = 2, height: int = 33, width: int = 47) -> tuple[Tensor, ...]:
        channels = 3 if getattr(self.component(), "colour", "luma") == "rgb" else 1
        return images(len(self.roles), batch, height, width, channels)

    def output(self, module: Callable[..., Any], sources: tuple[Tensor, ...]) -> FusionOutput:
        """The complete output."""
        output: FusionOutput = module(sources, guidance=self.guidance(sources))
        return output

    def call(self, module: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Tensor:
        return self.output(module, inputs).image

    def test_image_has_the_size_of_the_sources(self) -> None:
        """For sources of any size from 16 pixels and any batch size, the image has the size of the sources."""
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
        """The weights of the sources that it returns, if any, are not negative and sum to one."""
        sources = self.inputs()
        with torch.no_grad():
            weights = self.output(self.make().eval(), sources).weights
        if weights is None:
            raise SkipTest("it returns no weights")
        batch, _, height, width = sources[0].shape
        expect_shape("weights", weights, (batch, len(sources), height, width))
        expect_within("weights", weights, 0.0, 1.0, slack=1e-5)
        expect_within("sum of the weights over the sources", weights.sum(dim=1), 1.0, 1.0, slack=1e-5)

    def test_works_without_guidance(self) -> None:
        """It fuses without guidance by a task network."""
        module, sources = self.make().eval(), self.inputs()
        try:
            with torch.no_grad():
                image = module(sources, guidance=None).image
        except Exception as error:
            raise AssertionError(f"guidance=None: expected an image, found {one_line(error)}") from error
        expect_shape("image without guidance", image, sources[0].shape)

    def test_source_count_is_correct(self) -> None:
        """It fuses any number of sources, or the number declared in `source_count`."""
        built = 0
        for module, sources in self.of_any_count():
            built += 1
            try:
                with torch.no_grad():
                    image = self.output(module, sources).image
            except Exception as error:
                raise AssertionError(
                    f"{len(sources)} sources: expected an image, found {one_line(error)}; set `source_count` if the "
                    "number is fixed"
                ) from error
            expect_shape(f"image of {len(sources)} sources", image, sources[0].shape)
        expect(built > 0, "expected that it can be built for at least one number of sources from 1 to 4, found none")

    def test_reach_is_correct(self) -> None:
        """A part of an image is fused as in the full image, except for the border given by `reach` and `stride`."""
        module = self.make().eval()
        reach, stride = module.reach, module.stride
        if reach is None:
            raise SkipTest("it does not declare its reach")
        shown = 2 * reach + 32
        height, width = 2 * stride + shown, 3 * stride + shown
        full, sums = self.inputs(1, height, width), RecordedSums()
        part = tuple(source[..., stride : stride + shown, stride : stride + shown] for source in full)
        with torch.no_grad():
            with sums_from(sums):
                image = module(full, guidance=None).image
            with sums_from(sums.replay()):
                found = module(part, guidance=None).image
        inner, outer = slice(reach, shown - reach), slice(stride + reach, stride + shown - reach)
        apart = float((found[..., inner, inner] - image[..., outer, outer]).abs().max())
        expect(
            apart <= _PART_TOLERANCE,
            f"a part of {shown}x{shown} pixels: expected the values of the full image at {reach} pixels and more from "
            f"its border, found a difference of {apart:.3g}; `reach` or `stride` is too small, or sums over the image "
            "are not computed through `image_sums`",
        )

    def test_can_be_differentiated_twice(self) -> None:
        """It has second derivatives, which strategies that learn a loss need."""
        self._check_twice_differentiable()
