"""Contract of loss terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from fusekit.errors import UsageError
from fusekit.interfaces.config import LossTermConfig
from fusekit.interfaces.types import LossProposal
from fusekit.plugin.imports import one_line
from fusekit.testing.component import ComponentContract
from fusekit.testing.expect import expect, expect_same
from fusekit.testing.samples import images


class LossTermContract(ComponentContract):
    """Checks of a loss term, on images of 33 x 47 pixels."""

    kind = "loss-term"

    def inputs(self, count: int | None = None, batch: int = 2) -> tuple[Tensor, tuple[Tensor, ...]]:
        """A fused image that requires a gradient, and its sources; all of random values."""
        fused, *sources = images(1 + (len(self.roles) if count is None else count), batch)
        return fused.requires_grad_(), tuple(sources)

    def uses_proposal(self) -> bool:
        """Whether its Config declares that it uses the proposed weights."""
        return "loss-proposer" in self.config().needs()

    def proposal(self, sources: Sequence[Tensor]) -> LossProposal | None:
        """Equal weights, or None for a term that does not use weights."""
        return LossProposal(_shares(sources)) if self.uses_proposal() else None

    def value(self, term: Any, image: Tensor, sources: tuple[Tensor, ...]) -> Tensor:
        """The value of the term; skips if it is not a scalar, which another check reports."""
        return _scalar(term(image, sources, self.proposal(sources)))

    def use(self, made: Any) -> None:
        image, sources = self.inputs()
        made(image, sources, self.proposal(sources))

    def test_options_have_a_weight(self) -> None:
        """Its Config is a LossTermConfig, which has the weight of the term in the fusion loss."""
        found = self.config_class()
        expect(issubclass(found, LossTermConfig), f"Config: expected a LossTermConfig, found {found.__name__}")

    def test_value_is_a_number(self) -> None:
        """Its value is a finite scalar."""
        image, sources = self.inputs()
        found = self.make()(image, sources, self.proposal(sources))
        expect(isinstance(found, Tensor), f"value: expected a tensor, found {type(found).__name__}")
        expect(found.ndim == 0, f"value: expected a scalar, found shape {tuple(found.shape)}")
        expect(bool(torch.isfinite(found)), f"value: expected a finite number, found {found.item()}")

    def test_gradient_reaches_the_image(self) -> None:
        """It has a finite gradient with respect to the fused image, so that a backbone can be trained with it."""
        image, sources = self.inputs()
        _expect_gradient("the fused image", self.value(self.make(), image, sources), image)

    def test_gradient_reaches_the_weights(self) -> None:
        """If it uses proposed weights, it has a finite gradient with respect to them, which a learned loss needs."""
        if not self.uses_proposal():
            raise SkipTest("its Config does not declare a loss proposer")
        image, sources = self.inputs()
        weights = _shares(sources).requires_grad_()
        _expect_gradient("the weights", _scalar(self.make()(image, sources, LossProposal(weights))), weights)

    def test_can_be_differentiated_twice(self) -> None:
        """Its gradient has a finite gradient itself, which strategies that learn a loss need."""
        image, sources = self.inputs()
        value = self.value(self.make(), image, sources)
        try:
            gradient = torch.autograd.grad(value, image, create_graph=True)[0]
        except RuntimeError as error:
            raise SkipTest("it has no gradient with respect to the fused image") from error
        if not gradient.requires_grad:  # the gradient is constant
            return
        try:
            gradient.square().sum().backward()  # unlike autograd.grad, it visits nodes that do not lead to the image
        except RuntimeError as error:
            raise AssertionError(f"gradient of the gradient: expected one, found {one_line(error)}") from error
        expect(
            image.grad is None or bool(torch.isfinite(image.grad).all()),
            "gradient of the gradient: expected finite numbers, found others",
        )

    def test_flat_images_have_a_gradient(self) -> None:
        """For images of one grey level, value and gradient are finite; a crop of the sky must not stop training."""
        term = self.make()
        for levels in ((0.0, 0.0), (0.5, 0.5), (0.2, 0.8)):
            image, sources = self.inputs()
            flat = torch.full_like(image, levels[0]).requires_grad_()
            value = self.value(term, flat, tuple(torch.full_like(source, levels[1]) for source in sources))
            what = f"fused image of {levels[0]}, sources of {levels[1]}"
            expect(bool(torch.isfinite(value)), f"{what}: expected a finite value, found {value.item()}")
            gradient = torch.autograd.grad(value, flat, allow_unused=True)[0] if value.requires_grad else None
            if gradient is not None:
                expect(bool(torch.isfinite(gradient).all()), f"{what}: expected a finite gradient, found other numbers")

    def test_takes_any_number_of_sources(self) -> None:
        """It returns a scalar for as many sources as it is built for."""
        built = 0
        for count in (1, 2, 3):
            try:
                term = self.make(roles=tuple("abc"[:count]))
            except UsageError:  # refused with an error message: the parameters do not fit this number of sources
                continue
            built += 1
            image, sources = self.inputs(count)
            try:
                self.value(term, image, sources)
            except SkipTest:
                raise
            except Exception as error:
                raise AssertionError(f"{count} sources: expected a value, found {one_line(error)}") from error
        expect(built > 0, "expected that it can be built for at least one number of sources from 1 to 3, found none")

    def test_value_is_the_mean_over_the_batch(self) -> None:
        """The value of a batch is the mean over its images, so that it does not depend on the batch size."""
        term = self.make()
        image, sources = self.inputs(batch=3)
        together = self.value(term, image, sources)
        alone = [self.value(term, image[n : n + 1], tuple(s[n : n + 1] for s in sources)) for n in range(len(image))]
        expect_same("mean of the images' values", torch.stack(alone).mean(), together, rtol=1e-4, atol=1e-6)

    def test_undeclared_weights_are_not_used(self) -> None:
        """If its Config does not declare a `loss-proposer` in `needs`, it works without one and ignores its weights."""
        if self.uses_proposal():
            raise SkipTest("its Config declares a loss proposer")
        term = self.make()
        image, sources = self.inputs()
        without = self.value(term, image, sources)
        weights = _shares(sources) * 0.5
        weights[:, :1] += 0.5
        found = _scalar(term(image, sources, LossProposal(weights)))
        expect_same("value with a proposal and without", found, without, rtol=1e-6)

    def test_inputs_are_not_changed(self) -> None:
        """It does not change the fused image, the sources and the weights, which other terms use after it."""
        image, sources = self.inputs()
        proposal = self.proposal(sources)
        before = [tensor.detach().clone() for tensor in (image, *sources)]
        weights = None if proposal is None else proposal.weights.clone()
        self.make()(image, sources, proposal)
        names = ("fused image", *(f"source {index}" for index in range(len(sources))))
        for what, tensor, was in zip(names, (image, *sources), before, strict=True):
            expect_same(f"{what} after the call", tensor, was)
        if proposal is not None and weights is not None:
            expect_same("weights after the call", proposal.weights, weights)

    def test_results_are_reproducible(self) -> None:
        """Two builds of it, and two calls of the same build, return the same value, so that runs can be repeated."""
        image, sources = self.inputs()
        term = self.make()
        first = self.value(term, image, sources)
        expect_same("value of a second call", self.value(term, image, sources), first)
        expect_same("value of a second build", self.value(self.make(), image, sources), first)


def _shares(sources: Sequence[Tensor]) -> Tensor:
    """Equal weights of the sources, (B, N, H, W)."""
    return torch.full_like(torch.cat(tuple(sources), dim=1), 1 / len(sources))


def _scalar(found: Any) -> Tensor:
    if not isinstance(found, Tensor) or found.ndim != 0:
        raise SkipTest("its value is not a scalar")
    return found


def _expect_gradient(what: str, value: Tensor, tensor: Tensor) -> None:
    """Fail unless a value has a finite gradient other than zero with respect to a tensor."""
    gradient = torch.autograd.grad(value, tensor, allow_unused=True)[0] if value.requires_grad else None
    if gradient is None or not bool((gradient != 0).any()):
        raise AssertionError(f"gradient at {what}: expected one, found none")
    expect(bool(torch.isfinite(gradient).all()), f"gradient at {what}: expected finite numbers, found others")
