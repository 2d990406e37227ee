"""Contracts that every component of a kind keeps; a test class per component inherits them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fusekit.guidance.task import TaskGuidance
from fusekit.interfaces import ComponentRef, Guidance
from fusekit.plugin.registry import registry
from fusekit.recipe.assembly import Builder
from tests.networks import ROLES, TinySegmenter, class_table

SIZES = [(1, 16, 16), (2, 33, 47), (3, 64, 64)]


def images(batch: int, height: int, width: int, channels: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two random sources."""
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.rand(batch, channels, height, width, generator=generator) for _ in range(2))
    return first, second


class ComponentContract:
    """What holds for a component of any kind."""

    kind: str
    name: str
    params: dict[str, Any] = {}

    def make(self) -> Any:
        """The component as a recipe would build it; always with the same weights."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            builder = Builder(ROLES, class_table(4))
            return builder.build(self.kind, ComponentRef(use=self.name, params=self.params))

    def test_options_are_described_and_survive_json(self) -> None:
        config = registry().config_class(self.kind, self.name)
        assert all(field.description for field in config.model_fields.values())
        made = config.model_validate(self.params)
        assert config.model_validate(json.loads(made.model_dump_json())) == made

    def test_unknown_options_are_refused(self) -> None:
        with pytest.raises(ValueError, match="not_an_option"):
            registry().config_class(self.kind, self.name).model_validate({**self.params, "not_an_option": 1})

    def test_building_leaves_the_random_state_to_its_seed(self) -> None:
        torch.manual_seed(5)
        state = torch.get_rng_state()
        self.make()
        assert torch.equal(state, torch.get_rng_state())


class ModuleContract(ComponentContract):
    """What holds for components that are modules."""

    untrained: tuple[str, ...] = ()

    def call(self, module: nn.Module, sources: tuple[Tensor, ...], guidance: Guidance | None) -> Tensor:
        """The component's main result as one tensor."""
        raise NotImplementedError

    def guidance(self, sources: tuple[Tensor, ...]) -> Guidance:
        return TaskGuidance(TinySegmenter(4), sources)

    def run(self, module: nn.Module, batch: int = 2, height: int = 33, width: int = 47) -> Tensor:
        sources = images(batch, height, width)
        return self.call(module, sources, self.guidance(sources))

    def test_is_deterministic_and_leaves_inputs_alone(self) -> None:
        module, sources = self.make().eval(), images(2, 33, 47)
        before = tuple(source.clone() for source in sources)
        state = torch.get_rng_state()
        first = self.call(module, sources, self.guidance(sources))
        second = self.call(self.make().eval(), sources, self.guidance(sources))
        assert torch.equal(first, second)
        assert torch.equal(state, torch.get_rng_state())
        for source, was in zip(sources, before, strict=True):
            assert torch.equal(source, was)

    def test_weights_survive_a_file_and_a_copy(self, tmp_path: Path) -> None:
        module = self.make().eval()
        expected = self.run(module)
        assert torch.equal(self.run(copy.deepcopy(module)), expected)
        save_file(module.state_dict(), tmp_path / "w.safetensors")
        other = self.make().eval()
        for parameter in other.parameters():
            nn.init.normal_(parameter)
        other.load_state_dict(load_file(tmp_path / "w.safetensors"))
        assert torch.equal(self.run(other), expected)

    def test_functional_call_equals_forward(self) -> None:
        module = self.make().eval()
        sources = images(2, 33, 47)

        class Wrapped(nn.Module):
            def __init__(wrapper) -> None:
                super().__init__()
                wrapper.inner = module

            def forward(wrapper, *given: Tensor) -> Tensor:
                return self.call(wrapper.inner, given, self.guidance(given))

        wrapped = Wrapped()
        state = {**dict(wrapped.named_parameters()), **dict(wrapped.named_buffers())}
        assert torch.equal(torch.func.functional_call(wrapped, state, sources), wrapped(*sources))

    def test_gradient_reaches_every_trainable_weight(self) -> None:
        module = self.make().train()
        trainable = {name: p for name, p in module.named_parameters() if p.requires_grad}
        if not trainable:
            return
        self.run(module, 2, 64, 64).square().sum().backward()
        silent = {n for n, p in trainable.items() if p.grad is None or not bool(p.grad.abs().sum() > 0)}
        assert {n for n in silent if not n.startswith(self.untrained or ("-",))} == set()


class BackboneContract(ModuleContract):
    """A fusion backbone."""

    kind = "backbone"

    def call(self, module: nn.Module, sources: tuple[Tensor, ...], guidance: Guidance | None) -> Tensor:
        image: Tensor = module(sources, guidance=guidance).image
        return image

    @pytest.mark.parametrize(("batch", "height", "width"), SIZES)
    def test_gives_an_image_of_the_size_of_the_sources(self, batch: int, height: int, width: int) -> None:
        module, sources = self.make().eval(), images(batch, height, width)
        for guidance in (None, self.guidance(sources)):
            output = module(sources, guidance=guidance)
            assert output.image.shape == sources[0].shape
            assert output.image.dtype == torch.float32
            assert bool(torch.isfinite(output.image).all())
            assert float(output.image.detach().min()) >= 0.0
            assert float(output.image.detach().max()) <= 1.0
            if output.weights is not None:
                torch.testing.assert_close(output.weights.sum(dim=1), torch.ones(batch, height, width))

    def test_an_image_does_not_depend_on_its_neighbours(self) -> None:
        module, sources = self.make().eval(), images(3, 33, 47)
        one = tuple(source[1:2] for source in sources)
        with torch.no_grad():
            together = self.call(module, sources, self.guidance(sources))[1:2]
            alone = self.call(module, one, self.guidance(one))
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


class ProposerContract(ModuleContract):
    """A loss proposer."""

    kind = "loss-proposer"

    def call(self, module: nn.Module, sources: tuple[Tensor, ...], guidance: Guidance | None) -> Tensor:
        weights: Tensor = module(sources, guidance=guidance).weights
        return weights

    @pytest.mark.parametrize(("batch", "height", "width"), SIZES)
    def test_weights_are_shares(self, batch: int, height: int, width: int) -> None:
        sources = images(batch, height, width)
        weights = self.call(self.make().eval(), sources, self.guidance(sources))
        assert weights.shape == (batch, 2, height, width)
        assert float(weights.detach().min()) >= 0.0
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(batch, height, width))


class ReconstructionContract(ModuleContract):
    """A reconstruction head."""

    kind = "reconstruction"

    def call(self, module: nn.Module, sources: tuple[Tensor, ...], guidance: Guidance | None) -> Tensor:
        return torch.cat(module(sources[0]), dim=1)

    @pytest.mark.parametrize(("batch", "height", "width"), SIZES)
    def test_gives_an_image_per_role(self, batch: int, height: int, width: int) -> None:
        fused = images(batch, height, width)[0]
        rebuilt = self.make().eval()(fused)
        assert [image.shape for image in rebuilt] == [fused.shape] * len(ROLES)
        for image in rebuilt:
            assert float(image.detach().min()) >= 0.0
            assert float(image.detach().max()) <= 1.0


class TaskContract(ModuleContract):
    """A segmentation network."""

    kind = "task"

    def call(self, module: nn.Module, sources: tuple[Tensor, ...], guidance: Guidance | None) -> Tensor:
        logits: Tensor = module(sources[0])
        return logits

    @pytest.mark.parametrize(("batch", "height", "width"), SIZES)
    @pytest.mark.parametrize("channels", [1, 3])
    def test_gives_logits_of_the_size_of_the_image(self, batch: int, height: int, width: int, channels: int) -> None:
        module = self.make().eval()
        logits = module(images(batch, height, width, channels)[0])
        assert logits.shape == (batch, 4, height, width)
        assert bool(torch.isfinite(logits).all())
        predicted = module.predict(logits)
        assert predicted.shape == (batch, height, width)
        assert module.loss(logits, predicted).ndim == 0

    def test_second_order_is_true_where_it_is_claimed(self) -> None:
        module = self.make().eval()
        if not module.second_order:
            pytest.skip("claims no second order")
        image = images(1, 33, 47)[0].requires_grad_()
        (first,) = torch.autograd.grad(module(image).square().mean(), image, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), image)
        assert float(second.abs().sum()) > 0


class PathwayContract(ComponentContract):
    """A pathway function."""

    kind = "pathway"

    def test_ends_at_the_source_and_adds_up(self) -> None:
        sources = images(2, 16, 20)
        for index, path in enumerate(self.make().paths(sources)):
            assert path.points.shape == path.increments.shape
            assert path.points.shape[1:] == sources[0].shape
            torch.testing.assert_close(path.points[-1], sources[index])
            # Where the path began, seen from its end.
            start = sources[index] - path.increments.sum(dim=0)
            torch.testing.assert_close(path.points[0] - path.increments[0], start)
