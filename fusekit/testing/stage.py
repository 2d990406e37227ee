"""Contract of unfolding stages."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from fusekit.interfaces.guidance import Guidance
from fusekit.interfaces.types import UnfoldingState
from fusekit.testing.expect import expect, expect_image, expect_same, expect_shape
from fusekit.testing.module import ModuleContract
from fusekit.testing.toys import ToyGuidance, ToyTask, seeded_toy


class StageContract(ModuleContract):
    """Checks of an unfolding stage, which is called three times in a row, so that its memory is used.

    Attributes:
        uses_guidance: Whether guidance is passed to it.
    """

    kind = "stage"
    uses_guidance: ClassVar[bool] = True

    def guidance(self, sources: tuple[Tensor, ...]) -> Guidance | None:
        task = seeded_toy(ToyTask, self.roles, self.classes).to(sources[0].dtype)
        return ToyGuidance(task, sources, None) if self.uses_guidance else None

    def first_state(self, sources: tuple[Tensor, ...]) -> UnfoldingState:
        """The first state of a backbone: the mean of the sources, and features with ``channels`` channels."""
        stacked = torch.cat(sources, dim=1)
        fused = stacked.mean(dim=1, keepdim=True)
        width = getattr(self.config(), "channels", 4)
        waves = torch.linspace(0.5, 1.5, int(width), dtype=fused.dtype)[:, None, None]
        features = torch.tanh(fused * waves)
        shares = torch.full_like(stacked, 1.0 / len(sources))
        return UnfoldingState(fused, None, shares, memory={"long": features, "short": features.clone()})

    def states(self, module: Callable[..., Any], sources: tuple[Tensor, ...]) -> list[UnfoldingState]:
        """The first state, and the states after one, two and three stages."""
        guidance = self.guidance(sources)
        states = [self.first_state(sources)]
        for _ in range(3):
            states.append(module(states[-1], sources, guidance))
        return states

    def call(self, module: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Tensor:
        return self.states(module, inputs)[-1].fused

    def test_state_has_the_size_of_the_sources(self) -> None:
        """For sources of any size and any batch size, image, weights and memory match the sources."""
        module = self.make().eval()
        for batch, height, width in self.every_size():
            sources = self.inputs(batch, height, width)
            with torch.no_grad():
                states = self.states(module, sources)
            where = f"of {batch} images of {height}x{width}"
            for state in states[1:]:
                expect_shape(f"fused {where}", state.fused, sources[0].shape)
                expect_shape(f"weights {where}", state.weights, states[0].weights.shape)
                for name, value in state.memory.items():
                    expect(len(value) == batch, f"memory[{name!r}] {where}: expected {batch}, found {len(value)}")

    def test_image_is_an_image(self) -> None:
        """Every estimate is float32, finite and in [0, 1]."""
        with torch.no_grad():
            for number, state in enumerate(self.states(self.make().eval(), self.inputs())[1:], start=1):
                expect_image(f"fused after {number} stages", state.fused)

    def test_state_advances(self) -> None:
        """The index counts the stages, and the previous estimate is passed on."""
        with torch.no_grad():
            states = self.states(self.make().eval(), self.inputs())
        for before, after in pairwise(states):
            expect(after.index == before.index + 1, f"index: expected {before.index + 1}, found {after.index}")
            if after.previous is None:
                raise AssertionError(f"previous after {after.index} stages: expected an image, found None")
            expect_same(f"previous after {after.index} stages", after.previous, before.fused)

    def test_input_state_is_not_changed(self) -> None:
        """It does not change its input state, whose images the backbone keeps."""
        module, sources = self.make().eval(), self.inputs()
        state = self.first_state(sources)
        before = {"fused": state.fused.clone(), **{name: value.clone() for name, value in state.memory.items()}}
        with torch.no_grad():
            module(state, sources, self.guidance(sources))
        for name, value in {"fused": state.fused, **state.memory}.items():
            expect(name in before, f"memory of the input state: expected no entry {name!r}, found one")
            expect_same(f"{name} of the input state", value, before[name])

    def test_works_without_guidance(self) -> None:
        """It works without guidance by a task network."""
        module, sources = self.make().eval(), self.inputs()
        state = self.first_state(sources)
        with torch.no_grad():
            for _ in range(2):
                state = module(state, sources, None)
        expect_shape("fused without guidance", state.fused, sources[0].shape)

    def test_can_be_differentiated_twice(self) -> None:
        """It has second derivatives, which strategies that learn a loss need."""
        self._check_twice_differentiable()
