"""Common base of the contracts of networks."""

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
    """Checks of a network; the contract of each kind defines its inputs.

    Attributes:
        untrained: Name prefixes of parameters that no gradient reaches, by design.
        channels: Number of channels of the input images.
    """

    untrained: ClassVar[tuple[str, ...]] = ()
    channels: ClassVar[int] = 1

    # Defined by each kind ---------------------------------------------------------------------------------

    def inputs(self, batch: int = 2, height: int = 33, width: int = 47) -> tuple[Tensor, ...]:
        """The input images."""
        return images(len(self.roles), batch, height, width, self.channels)

    def call(self, module: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Tensor:
        """Its main result as one tensor whose first dimension is the batch."""
        raise NotImplementedError

    def guidance(self, sources: tuple[Tensor, ...]) -> Guidance | None:
        """Guidance by a toy task network; None for a component that does not use guidance."""
        if not getattr(self.component(), "uses_guidance", False):
            return None
        task = seeded_toy(ToyTask, self.roles, self.classes).to(sources[0].dtype)
        return ToyGuidance(task, sources, None)

    def use(self, made: Any) -> None:
        with torch.no_grad():
            self.call(made.eval(), self.inputs())

    def every_size(self) -> list[tuple[int, int, int]]:
        """Batch size, height and width of all inputs of the shape checks."""
        return [(batch, height, width) for batch in BATCHES for height, width in SIZES]

    # The checks -------------------------------------------------------------------------------------------

    def test_inputs_are_not_changed(self) -> None:
        """It does not change its input images, which other components use after it."""
        module, inputs = self.make().eval(), self.inputs()
        before = tuple(image.clone() for image in inputs)
        with torch.no_grad():
            self.call(module, inputs)
        for number, (image, was) in enumerate(zip(inputs, before, strict=True)):
            expect_same(f"input {number} after the call", image, was)

    def test_results_are_reproducible(self) -> None:
        """Two builds with the same seed compute the same results, so that runs can be repeated."""
        inputs = self.inputs()
        with torch.no_grad():
            first, second = (self.call(self.make().eval(), inputs) for _ in range(2))
        expect_same("result of a second build under the same seed", second, first)

    def test_images_of_a_batch_are_independent(self) -> None:
        """In evaluation mode, the result of an image does not depend on the rest of its batch."""
        module, inputs = self.make().eval(), self.inputs(3)
        with torch.no_grad():
            together = self.call(module, inputs)[1:2]
            alone = self.call(module, tuple(image[1:2].clone() for image in inputs))
        expect_same("result of an image alone and among others", alone, together, rtol=1e-4, atol=1e-5)

    def test_mode_is_not_changed(self) -> None:
        """A call does not change its training or evaluation mode."""
        module = self.make()
        for training in (True, False):
            module.train(training)
            with torch.no_grad():
                self.call(module, self.inputs())
            changed = [name or "itself" for name, part in module.named_modules() if part.training != training]
            mode = "training" if training else "evaluation"
            expect(
                not changed, f"after a call in {mode} mode: expected that mode, found another in {', '.join(changed)}"
            )

    def test_gradient_reaches_every_parameter(self) -> None:
        """Every trainable parameter affects the result, so that no unused parameter is stored or decayed."""
        module = self.make().train()
        trainable = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        if not trainable:
            raise SkipTest("it has no trainable parameters")
        _nudge(module)
        result = self.call(module, self.inputs(2, 64, 64))
        (result * _projection(result)).sum().backward()
        unused = {n for n, p in trainable.items() if p.grad is None or not bool((p.grad != 0).any())}
        unexpected = sorted(name for name in unused if not name.startswith(self.untrained or ("-",)))
        expect(
            not unexpected,
            f"expected a gradient at every trainable parameter, found none at {', '.join(unexpected)}; list it in "
            "`untrained` if that is by design",
        )
        needless = [prefix for prefix in self.untrained if not any(name.startswith(prefix) for name in unused)]
        expect(
            not needless,
            f"`untrained` lists {', '.join(needless)}, but a gradient reaches these parameters: remove the entry",
        )

    def test_functional_call_equals_forward(self) -> None:
        """Called with replaced parameters, it uses these, which meta-learning requires."""
        module, inputs = self._with_parameters().eval(), self.inputs()
        others = {name: own.detach() + 0.01 * _projection(own) for name, own in module.named_parameters()}
        with torch.no_grad():
            found = self.call(lambda *args, **keywords: functional_call(module, others, args, keywords), inputs)
            for name, parameter in module.named_parameters():
                parameter.copy_(others[name])
            wanted = self.call(module, inputs)
        expect_same("result of functional_call with replaced parameters", found, wanted, rtol=1e-5, atol=1e-6)

    def test_weights_survive_a_file(self) -> None:
        """Its state dict is complete: another build that loads it from a file computes the same results."""
        module, inputs = self._with_parameters().eval(), self.inputs()
        other = self.make(seed=1).eval()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "weights.safetensors"
            save_file({name: value.contiguous().clone() for name, value in module.state_dict().items()}, file)
            other.load_state_dict(load_file(file))
        with torch.no_grad():
            expect_same("result after loading the weights", self.call(other, inputs), self.call(module, inputs))

    def test_copies_are_independent(self) -> None:
        """A deep copy computes the same results, even after the parameters of the original change."""
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

    # Shared by the contracts of the kinds -----------------------------------------------------------------

    def _with_parameters(self) -> Any:
        module = self.make()
        if not list(module.parameters()):
            raise SkipTest("it has no parameters")
        return module

    def _differentiate_twice(self, module: nn.Module, inputs: tuple[Tensor, ...], what: list[Tensor]) -> None:
        """Fail unless the squared gradient of a score can be differentiated, in float64."""
        try:
            with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative, the math backend has
                score = self.call(module, inputs).square().mean()
                first = [
                    g for g in torch.autograd.grad(score, what, create_graph=True, allow_unused=True) if g is not None
                ]
                size = torch.stack([g.square().sum() for g in first]).sum()
                # Not autograd.grad, which ignores the error of a function that is differentiable only once.
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
        """Fail unless it is twice differentiable with respect to its parameters, in float64."""
        module = self._with_parameters().double().train()
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if not parameters:
            raise SkipTest("it has no trainable parameters")
        _nudge(module)
        self._differentiate_twice(module, tuple(image.double() for image in self.inputs(2, 16, 16)), parameters)


def _projection(tensor: Tensor) -> Tensor:
    """Reproducible random numbers in [-1, 1]: no structure of the tensor is orthogonal to them."""
    generator = torch.Generator().manual_seed(tensor.numel())
    return (2.0 * torch.rand(tensor.shape, generator=generator) - 1.0).to(tensor)


def _nudge(module: nn.Module, size: float = 0.01) -> None:
    """Change every parameter slightly, so that layers initialised to zero do not block gradients."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(size * _projection(parameter))
