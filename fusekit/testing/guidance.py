"""What a guidance keeps."""

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
    """Checks of a guidance, asked about a toy that segments or about the task network that `model` names.

    Attributes:
        model: The task network that it asks, as the ``model`` section of a recipe names it (``{"task": {"use": …}}``);
            a toy that segments when absent.
    """

    kind = "guidance"
    model: ClassVar[Mapping[str, Any]] = {}

    def task(self) -> TaskNetwork:
        """The task network that it asks."""
        task = toy_system(self.model, self.roles, self.classes, self.components()).task
        assert task is not None
        return task

    def sources(self, batch: int = 2, height: int = 33, width: int = 47) -> tuple[Tensor, ...]:
        """What the task network is asked about."""
        return images(len(self.roles), batch, height, width)

    def use(self, made: Any) -> None:
        self._ask(made.of(self.task(), self.sources()))

    def test_says_which_task_network_it_takes(self) -> None:
        """Its Config says in `needs` that it asks a task network, so that recipes without one are refused."""
        made = self.make()
        if any(need.partition(":")[0] == "task" for need in self.config().needs()):
            return
        try:
            self._ask(made.of(None, self.sources()))
        except Exception as error:
            raise AssertionError(
                "needs() of its Config: expected to name a task network, such as 'task:segmentation', found none; and "
                f"without one it fails: {one_line(error)}"
            ) from error

    def test_answers_have_the_size_of_the_sources(self) -> None:
        """About sources of any size, in any batch, it answers with scores, a map of regions and a gradient."""
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

    def test_regions_are_numbers_of_scores(self) -> None:
        """Regions are whole numbers, and where they have names, each score has one."""
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
        """Scores and gradients are finite, and no score is below zero: shares are made of them."""
        guidance = self.make().of(self.task(), self.sources())
        expect_finite("scores", guidance.attribution().scores)
        expect_within("scores", guidance.attribution().scores, 0.0, float("inf"))
        expect_finite("gradient", guidance.task_gradient(self.sources()[0]))

    def test_works_with_labels_and_without(self) -> None:
        """It answers where there are label maps, in training, and where there are none."""
        made, task, sources = self.make(), self.task(), self.sources()
        for name, given in (("without labels", None), ("with labels", labels(len(self.classes)))):
            try:
                self._ask(made.of(task, sources, given))
            except Exception as error:
                raise AssertionError(f"{name}: expected answers, found {one_line(error)}") from error

    def test_task_network_is_left_alone(self) -> None:
        """Asking leaves the task network as it was: mode, weights, statistics, frozen weights, no gradients."""
        made, sources = self.make(), self.sources()
        for training in (True, False):
            task = self.task().train(training)
            frozen = next(iter(task.parameters()), None)
            if frozen is not None:
                frozen.requires_grad_(False)
            before = _looks_of(task)
            self._ask(made.of(task, sources))
            after = _looks_of(task)
            changed = [what for what, was in before.items() if after[what] != was]
            expect(not changed, f"task network after a call: expected it unchanged, found another {', '.join(changed)}")

    def test_attribution_is_computed_once(self) -> None:
        """Whoever asks one guidance a second time hears the same, and the task network is not asked again."""
        task, calls = self.task(), 0

        def count(*_: Any) -> None:
            nonlocal calls
            calls += 1

        guidance = self.make().of(task, self.sources())
        task.register_forward_hook(count)
        first, asked = guidance.attribution(), calls
        if not asked:
            raise SkipTest("it does not call the task network to attribute")
        second = guidance.attribution()
        expect(calls == asked, f"second attribution: expected no call of the task network, found {calls - asked}")
        expect_same("scores of a second attribution", second.scores, first.scores)

    def test_answers_are_detached(self) -> None:
        """Nothing is differentiated through its answers, also where the sources want a gradient."""
        sources = tuple(source.requires_grad_() for source in self.sources())
        guidance = self.make().of(self.task(), sources)
        answers = {"scores": guidance.attribution().scores, "gradient": guidance.task_gradient(sources[0])}
        attached = [name for name, answer in answers.items() if answer.requires_grad]
        expect(not attached, f"{' and '.join(attached)}: expected to be detached, found a graph behind")

    def test_answers_without_gradients_switched_on(self) -> None:
        """It answers where gradients are switched off, as they are while fusing, the same as where they are not."""
        made, task, sources = self.make(), self.task(), self.sources()
        wanted = made.of(task, sources)
        with torch.no_grad():
            found = made.of(task, sources)
            try:
                self._ask(found)
            except Exception as error:
                raise AssertionError(f"under no_grad: expected answers, found {one_line(error)}") from error
        expect_same("scores under no_grad", found.attribution().scores, wanted.attribution().scores)

    def test_sources_are_left_alone(self) -> None:
        """It does not change the images that it is asked about, which others use after it."""
        sources = self.sources()
        before = [source.clone() for source in sources]
        self._ask(self.make().of(self.task(), sources))
        for index, (source, was) in enumerate(zip(sources, before, strict=True)):
            expect_same(f"source {index} after the call", source, was)

    def test_an_image_does_not_depend_on_its_neighbours(self) -> None:
        """An image's attribution and gradient do not depend on the rest of its batch."""
        made, task, sources = self.make(), self.task(), self.sources(3)
        together, alone = made.of(task, sources), made.of(task, tuple(source[1:2].clone() for source in sources))
        close = {"rtol": 1e-4, "atol": 1e-7}
        wanted = together.attribution().total()[1:2]
        expect_same("attribution of an image alone and among others", alone.attribution().total(), wanted, **close)
        gradient = together.task_gradient(sources[0])[1:2]
        found = alone.task_gradient(sources[0][1:2].clone())
        expect_same("gradient of an image alone and among others", found, gradient, **close)

    def test_answers_repeat(self) -> None:
        """Built twice it answers the same, so that runs can be repeated."""
        sources, task = self.sources(), self.task()
        first, second = (self.make().of(task, sources).attribution().total() for _ in range(2))
        expect_same("attribution of a second build", second, first)

    def _ask(self, guidance: Guidance) -> None:
        guidance.attribution()
        guidance.task_gradient(self.sources()[0])


def _looks_of(task: TaskNetwork) -> dict[str, Any]:
    """All that asking must leave as it is, as plain data."""
    return {
        "mode": [module.training for module in task.modules()],
        "requires_grad of its weights": [weight.requires_grad for weight in task.parameters()],
        "gradient of its weights": [weight.grad is None for weight in task.parameters()],
        **{f"value of {name}": value.tolist() for name, value in task.state_dict().items()},
    }
