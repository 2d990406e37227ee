"""Contract of loss proposers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fusekit.plugin.imports import one_line
from fusekit.testing.expect import expect, expect_finite, expect_shape, expect_within
from fusekit.testing.sources import SourcesContract


class LossProposerContract(SourcesContract):
    """Checks of a loss proposer."""

    kind = "loss-proposer"

    def call(self, module: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Tensor:
        weights: Tensor = module(inputs, guidance=self.guidance(inputs)).weights
        return weights

    def test_weights_have_the_size_of_the_sources(self) -> None:
        """For sources of any size and any batch size, there is one weight per source and pixel."""
        module = self.make().eval()
        for batch, height, width in self.every_size():
            with torch.no_grad():
                weights = self.call(module, self.inputs(batch, height, width))
            wanted = (batch, len(self.roles), height, width)
            expect_shape(f"weights of {batch} images of {height}x{width}", weights, wanted)

    def test_weights_are_not_negative(self) -> None:
        """Weights are finite and not negative; a negative weight would push the fused image away from a source."""
        with torch.no_grad():
            weights = self.call(self.make().eval(), self.inputs())
        expect_finite("weights", weights)
        expect_within("weights", weights, 0.0, float("inf"))

    def test_weights_sum_to_one(self) -> None:
        """The weights of a pixel sum to one, so that losses of different proposers can be compared."""
        with torch.no_grad():
            weights = self.call(self.make().eval(), self.inputs())
        expect_within("sum of the weights over the sources", weights.sum(dim=1), 1.0, 1.0, slack=1e-5)

    def test_takes_any_number_of_sources(self) -> None:
        """It returns weights for as many sources as it is built for."""
        built = 0
        for module, sources in self.of_any_count():
            built += 1
            try:
                with torch.no_grad():
                    weights = self.call(module, sources)
            except Exception as error:
                raise AssertionError(f"{len(sources)} sources: expected weights, found {one_line(error)}") from error
            batch, _, height, width = sources[0].shape
            expect_shape(f"weights of {len(sources)} sources", weights, (batch, len(sources), height, width))
        expect(built > 0, "expected that it can be built for at least one number of sources from 1 to 4, found none")
