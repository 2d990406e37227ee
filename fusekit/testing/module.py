"""What holds for components that are networks."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from unittest import SkipTest

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from fusekit.interfaces.guidance import Guidance
from fusekit.plugin.imports import one_line
from fusekit.testing.component import ComponentContract
from fusekit.testing.expect import expect, expect_same
from fusekit.testing.samples import BATCHES, SIZES, images
from fusekit.testing.toys import ToyGuidance, ToyTask, seeded_toy


class ModuleContract(ComponentContract):
    """Checks of a network; the contracts of kinds say what it is called with.

    Attributes:
        untrained: Prefixes of weights that no gradient reaches, by design.
        channels: Channels of the images that it is called with.
    """

    untrained: ClassVar[tuple[str, ...]] = ()
    channels: ClassVar[int] = 1

    # What kinds say ---------------------------------------------------------------------------------------

    def inputs(self, batch: int = 2, height: int = 33, width: int = 47) -> tuple[Tensor, ...]:
        """What it is called with."""
        return images(len(self.roles), batch, height, width, self.channels)

    def call(self, module: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Tensor:
        """Its main result as one tensor whose first axis is the batch."""
        raise NotImplementedError

    def guidance(self, sources: tuple[Tensor, ...]) -> Guidance | None:
        """Guidance of a toy task network; None for a component that does not look at it."""
        if not getattr(self.component(), "uses_guidance", False):
            return None
        task = seeded_toy(ToyTask, self.roles, self.classes).to(sources[0].dtype)
        return ToyGuidance(task, sources, None)

    def use(self, made: Any) -> None:
        with torch.no_grad():
            self.call(made.eval(), self.inputs())

    def every_size(self) -> list[tuple[int, int, int]]:
        """Batch, height and width of everything that shapes are checked with."""
        return [(batch, height, width) for batch in BATCHES for height, width in SIZES]

    # The checks -------------------------------------------------------------------------------------------

    def test_inputs_are_left_alone(self) -> None:
        """It does not change the images that it is given, which others use after it."""
        module, inputs = self.make().eval(), self.inputs()
        before = tuple(image.clone() for image in inputs)
        with torch.no_grad():
            self.call(module, inputs)
        for number, (image, was) in enumerate(zip(inputs, before, strict=True)):
            expect_same(f"input {number} after the call", image, was)

    def test_results_repeat_under_one_seed(self) -> None:
        """Built twice under one seed it computes the same, so that runs can be repeated."""
        inputs = self.inputs()
        with torch.no_grad():
            first, second = (self.call(self.make().eval(), inputs) for _ in range(2))
        expect_same("result of a second build under the same seed", second, first)

    def test_an_image_does_not_depend_on_its_neighbours(self) -> None:
        """In evaluation mode an image's result does not depend on the rest of its batch."""
        module, inputs = self.make().eval(), self.inputs(3)
        with torch.no_grad():
            together = self.call(module, inputs)[1:2]
            alone = self.call(module, tuple(image[1:2].clone() for image in inputs))
        expect_same("result of an image alone and among others", alone, together, rtol=1e-4, atol=1e-5)

    def test_calling_leaves_the_mode(self) -> None:
        """Calling it leaves training and evaluation mode as they are."""
        module = self.make()
        for training in (True, False):
            module.train(training)
            with torch.no_grad():
                self.call(module, self.inputs())
            found = [name or "itself" for name, part in module.named_modules() if part.training != training]
            mode = "training" if training else "evaluation"
            expect(not found, f"after a call in {mode} mode: expected that mode, found another in {', '.join(found)}")

    def test_gradient_reaches_every_weight(self) -> None:
        """Every trainable weight takes part in the result, so none is stored and decayed for nothing."""
        module = self.make().train()
        trainable = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
        if not trainable:
            raise SkipTest("it has no weights to train")
        _nudge(module)
        result = self.call(module, self.inputs(2, 64, 64))
        (result * _projection(result)).sum().backward()
        silent = {n for n, w in trainable.items() if w.grad is None or not bool((w.grad != 0).any())}
        left_out = sorted(name for name in silent if not name.startswith(self.untrained or ("-",)))
        expect(
            not left_out,
            f"expected a gradient at every trainable weight, found none at {', '.join(left_out)}; name it in "
            "`untrained` if that is by design",
        )
        needless = [prefix for prefix in self.untrained if not any(name.startswith(prefix) for name in silent)]
        expect(not needless, f"`untrained` excuses {', '.join(needless)}, but the gradient reaches it: take it out")

    def test_functional_call_equals_forward(self) -> None:
        """Called with other weights than its own it uses those, which meta-learning builds on."""
        module, inputs = self._with_weights().eval(), self.inputs()
        others = {name: weight.detach() + 0.01 * _projection(weight) for name, weight in module.named_parameters()}
        with torch.no_grad():
            found = self.call(lambda *args, **keywords: functional_call(module, others, args, keywords), inputs)
            for name, weight in module.named_parameters():
                weight.copy_(others[name])
            wanted = self.call(module, inputs)
        expect_same("result of functional_call with other weights", found, wanted, rtol=1e-5, atol=1e-6)

    def test_weights_survive_a_file(self) -> None:
        """Its weights file holds all that it learned: another build that loads it computes the same."""
        module, inputs = self._with_weights().eval(), self.inputs()
        other = self.make(seed=1).eval()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "weights.safetensors"
            save_file({name: value.contiguous().clone() for name, value in module.state_dict().items()}, file)
            other.load_state_dict(load_file(file))
        with torch.no_grad():
            expect_same("result after loading the weights", self.call(other, inputs), self.call(module, inputs))

    def test_a_copy_is_a_network_of_its_own(self) -> None:
        """A deep copy computes the same, and goes on doing so when the original learns."""
        module, inputs = self.make().eval(), self.inputs()
        try:
            twin = copy.deepcopy(module)
        except Exception as error:
            raise AssertionError(f"copy.deepcopy: expected a copy, found {one_line(error)}") from error
        with torch.no_grad():
            wanted = self.call(module, inputs)
            expect_same("result of a deep copy", self.call(twin, inputs), wanted)
            _nudge(module, 0.1)
            expect_same("result of a deep copy after the original changed", self.call(twin, inputs), wanted)

    # What the kinds' checks share -------------------------------------------------------------------------

    def _with_weights(self) -> Any:
        module = self.make()
        if not list(module.parameters()):
            raise SkipTest("it has no weights")
        return module

    def _differentiate_twice(self, module: nn.Module, inputs: tuple[Tensor, ...], what: list[Tensor]) -> None:
        """Fails unless the squared gradient of a score can be differentiated, in float64."""
        try:
            with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative; its math form has
                score = self.call(module, inputs).square().mean()
                first = [
                    g for g in torch.autograd.grad(score, what, create_graph=True, allow_unused=True) if g is not None
                ]
                size = torch.stack([g.square().sum() for g in first]).sum()
                # Not autograd.grad, which passes over the error of a function that is differentiable only once.
                size.backward()
        except RuntimeError as error:
            raise AssertionError(f"gradient of a gradient: expected numbers, found {one_line(error)}") from error
        second = [tensor.grad for tensor in what if tensor.grad is not None]
        expect(
            bool(second) and all(bool(torch.isfinite(g).all()) for g in second),
            "gradient of a gradient: expected finite numbers, found some that are not",
        )
        expect(any(bool((g != 0).any()) for g in second), "gradient of a gradient: expected some, found zeros only")

    def _check_twice_differentiable(self) -> None:
        """In float64, with respect to the weights."""
        module = self._with_weights().double().train()
        weights = [weight for weight in module.parameters() if weight.requires_grad]
        if not weights:
            raise SkipTest("it has no weights to train")
        _nudge(module)
        self._differentiate_twice(module, tuple(image.double() for image in self.inputs(2, 16, 16)), weights)


def _projection(tensor: Tensor) -> Tensor:
    """Numbers in [-1, 1], the same for the same shape: no structure of the tensor is orthogonal to them."""
    generator = torch.Generator().manual_seed(tensor.numel())
    return (2.0 * torch.rand(tensor.shape, generator=generator) - 1.0).to(tensor)


def _nudge(module: nn.Module, size: float = 0.01) -> None:
    """Moves every weight a little, so that a layer which starts at zero hides nothing behind it."""
    with torch.no_grad():
        for weight in module.parameters():
            if weight.requires_grad:
                weight.add_(size * _projection(weight))
