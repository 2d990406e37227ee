"""Contract of guidances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from unittest import SkipTest

import torch
from torch import Tensor

from fusekit.interfaces.guidance import Guidance
from fusekit.interfaces.task import TaskNetwork
from fusekit.plugin.imports import one_line
from fusekit.testing.component import ComponentContract
from fusekit.testing.expect import expect, expect_finite, expect_same, expect_shape, expect_within
from fusekit.testing.samples import BATCHES, SIZES, images, labels
from fusekit.testing.toys import toy_system


class GuidanceContract(ComponentContract):
    """Checks of a guidance, with a toy segmentation network or the task network named in `model`.

    Attributes:
        model: The task network that it uses, as in the ``model`` section of a recipe (``{"task": {"use": …}}``);
            default: a toy segmentation network.
    """

    kind = "guidance"
    model: ClassVar[Mapping[str, Any]] = {}

    def task(self) -> TaskNetwork:
        """The task network that it uses."""
        task = toy_system(self.model, self.roles, self.classes, self.components()).task
        assert task is not None
        return task

    def sources(self, batch: int = 2, height: int = 33, width: int = 47) -> tuple[Tensor, ...]:
        """The sources of a batch."""
        return images(len(self.roles), batch, height, width)

    def use(self, made: Any) -> None:
        self._compute(made.of(self.task(), self.sources()))

    def test_options_declare_the_task_network(self) -> None:
        """Its Config declares a task network in `needs` if it uses one, so that recipes without one are refused."""
        made = self.make()
        if any(need.partition(":")[0] == "task" for need in self.config().needs()):
            return
        try:
            self._compute(made.of(None, self.sources()))
        except Exception as error:
            raise AssertionError(
                "needs() of its Config: expected to name a task network, such as 'task:segmentation', found none; and "
                f"without one it fails: {one_line(error)}"
            ) from error

    def test_results_have_the_size_of_the_sources(self) -> None:
        """For sources of any size and any batch size, it returns scores, a map of regions and a gradient."""
        made, task = self.make(), self.task()
        for batch, height, width in ((b, h, w) for b in BATCHES for h, w in SIZES):
            sources = self.sources(batch, height, width)
            guidance = made.of(task, sources)
            attribution, gradient = guidance.attribution(), guidance.task_gradient(sources[0])
            where = f"of {batch} images of {height}x{width}"
            expect(
                attribution.scores.ndim == 3 and attribution.scores.shape[:2] == (batch, len(sources)),
                f"scores {where}: expected ({batch}, {len(sources)}, K), found {tuple(attribution.scores.shape)}",
            )
            expect_shape(f"regions {where}", attribution.regions, (batch, height, width))
            expect_shape(f"total {where}", attribution.total(), (batch, len(sources), height, width))
            expect_shape(f"gradient {where}", gradient, sources[0].shape)

    def test_regions_are_indices_of_scores(self) -> None:
        """Regions are int64 indices of the scores, and if the regions have names, each score has one."""
        attribution = self.make().of(self.task(), self.sources()).attribution()
        expect(
            attribution.regions.dtype == torch.int64,
            f"regions: expected torch.int64, found {attribution.regions.dtype}",
        )
        count, names = attribution.scores.shape[2], attribution.names
        wanted = len(self.classes) if names is None else len(names)
        what = "without names they are the classes" if names is None else "one for each name"
        expect(count == wanted, f"scores: expected {wanted} regions ({what}), found {count}")

    def test_scores_are_not_negative(self) -> None:
        """Scores and gradients are finite, and no score is negative, because weights are computed from scores."""
        guidance = self.make().of(self.task(), self.sources())
        expect_finite("scores", guidance.attribution().scores)
        expect_within("scores", guidance.attribution().scores, 0.0, float("inf"))
        expect_finite("gradient", guidance.task_gradient(self.sources()[0]))

    def test_works_with_labels_and_without(self) -> None:
        """It works with label maps, as in training, and without them."""
        made, task, sources = self.make(), self.task(), self.sources()
        for name, given in (("without labels", None), ("with labels", labels(len(self.classes)))):
            try:
                self._compute(made.of(task, sources, given))
            except Exception as error:
                raise AssertionError(f"{name}: expected results, found {one_line(error)}") from error

    def test_task_network_is_not_changed(self) -> None:
        """It does not change the task network: mode, parameters, statistics, frozen parameters, gradients."""
        made, sources = self.make(), self.sources()
        for training in (True, False):
            task = self.task().train(training)
            frozen = next(iter(task.parameters()), None)
            if frozen is not None:
                frozen.requires_grad_(False)
            before = _state_of(task)
            self._compute(made.of(task, sources))
            after = _state_of(task)
            changed = [what for what, was in before.items() if after[what] != was]
            expect(not changed, f"task network after a call: expected no change, found a changed {', '.join(changed)}")

    def test_attribution_is_computed_once(self) -> None:
        """A second call of `attribution` returns the same result and does not run the task network again."""
        task, calls = self.task(), 0

        def count(*_: Any) -> None:
            nonlocal calls
            calls += 1

        guidance = self.make().of(task, self.sources())
        task.register_forward_hook(count)
        first, first_calls = guidance.attribution(), calls
        if not first_calls:
            raise SkipTest("its attribution does not run the task network")
        second = guidance.attribution()
        more = calls - first_calls
        expect(more == 0, f"second attribution: expected no run of the task network, found {more}")
        expect_same("scores of a second attribution", second.scores, first.scores)

    def test_results_are_detached(self) -> None:
        """Its results are detached from the graph, even if the sources require a gradient."""
        sources = tuple(source.requires_grad_() for source in self.sources())
        guidance = self.make().of(self.task(), sources)
        results = {"scores": guidance.attribution().scores, "gradient": guidance.task_gradient(sources[0])}
        attached = [name for name, result in results.items() if result.requires_grad]
        expect(not attached, f"{' and '.join(attached)}: expected to be detached, found an attached graph")

    def test_works_with_gradients_disabled(self) -> None:
        """Its results are the same with gradients disabled, as during fusion."""
        made, task, sources = self.make(), self.task(), self.sources()
        wanted = made.of(task, sources)
        with torch.no_grad():
            found = made.of(task, sources)
            try:
                self._compute(found)
            except Exception as error:
                raise AssertionError(f"under no_grad: expected results, found {one_line(error)}") from error
        expect_same("scores under no_grad", found.attribution().scores, wanted.attribution().scores)

    def test_sources_are_not_changed(self) -> None:
        """It does not change the sources, which other components use after it."""
        sources = self.sources()
        before = [source.clone() for source in sources]
        self._compute(self.make().of(self.task(), sources))
        for index, (source, was) in enumerate(zip(sources, before, strict=True)):
            expect_same(f"source {index} after the call", source, was)

    def test_images_of_a_batch_are_independent(self) -> None:
        """An image's attribution and gradient do not depend on the rest of its batch."""
        made, task, sources = self.make(), self.task(), self.sources(3)
        together, alone = made.of(task, sources), made.of(task, tuple(source[1:2].clone() for source in sources))
        close = {"rtol": 1e-4, "atol": 1e-7}
        wanted = together.attribution().total()[1:2]
        expect_same("attribution of an image alone and among others", alone.attribution().total(), wanted, **close)
        gradient = together.task_gradient(sources[0])[1:2]
        found = alone.task_gradient(sources[0][1:2].clone())
        expect_same("gradient of an image alone and among others", found, gradient, **close)

    def test_results_are_reproducible(self) -> None:
        """Two builds of it return the same results, so that runs can be repeated."""
        sources, task = self.sources(), self.task()
        first, second = (self.make().of(task, sources).attribution().total() for _ in range(2))
        expect_same("attribution of a second build", second, first)

    def _compute(self, guidance: Guidance) -> None:
        guidance.attribution()
        guidance.task_gradient(self.sources()[0])


def _state_of(task: TaskNetwork) -> dict[str, Any]:
    """The state of a task network that must not change, as plain data."""
    return {
        "mode": [module.training for module in task.modules()],
        "requires_grad of its parameters": [parameter.requires_grad for parameter in task.parameters()],
        "gradient of its parameters": [parameter.grad is None for parameter in task.parameters()],
        **{f"value of {name}": value.tolist() for name, value in task.state_dict().items()},
    }
