"""Contract of objectives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from unittest import SkipTest

import torch
from torch import Tensor, nn

from fusekit.interfaces.types import Batch, LossTerms
from fusekit.testing.component import ComponentContract
from fusekit.testing.expect import expect, expect_same
from fusekit.testing.samples import images, labels
from fusekit.testing.toys import ToyTraining, toy_system


class ObjectiveContract(ComponentContract):
    """Checks of an objective.

    Attributes:
        model: Other parts of the model, as in the ``model`` section of a recipe; toys for all others.
    """

    kind = "objective"
    model: ClassVar[Mapping[str, Any]] = {}

    def training(self) -> ToyTraining:
        """The parts of a model."""
        return ToyTraining(toy_system(self.model, self.roles, self.classes, self.components()))

    def batch(self) -> Batch:
        """What the fused images were made of."""
        return Batch(images(len(self.roles), 2, 32, 32), labels(len(self.classes), 2, 32, 32), ("a", "b"))

    def evaluated(self) -> tuple[nn.Module, Tensor, LossTerms]:
        """The evaluator, the fused images and the loss of the evaluator on them."""
        objective = self.make()
        evaluator = objective.evaluator(self.training())
        fused = torch.stack(self.batch().sources).mean(dim=0).requires_grad_()
        return evaluator, fused, objective.loss(evaluator, fused, self.batch())

    def use(self, made: Any) -> None:
        batch = self.batch()
        made.loss(made.evaluator(self.training()), batch.sources[0], batch)

    def test_evaluator_is_a_part_of_the_model(self) -> None:
        """The evaluator is a part of the model, so that strategies can train it and checkpoints contain it."""
        training = self.training()
        evaluator = self.make().evaluator(training)
        expect(
            any(evaluator is module for module in training.system.modules()),
            f"evaluator: expected a part of the model, found a {type(evaluator).__name__} that is not one",
        )

    def test_loss_is_a_number(self) -> None:
        """The loss and its terms are finite numbers, and the terms have names for the log."""
        _, _, found = self.evaluated()
        expect(isinstance(found, LossTerms), f"loss: expected LossTerms, found {type(found).__name__}")
        for name, term in {"total": found.total, **found.terms}.items():
            expect(term.ndim == 0, f"{name}: expected a scalar, found shape {tuple(term.shape)}")
            expect(bool(torch.isfinite(term)), f"{name}: expected a finite number, found {term.item()}")

    def test_loss_reaches_the_fused_images(self) -> None:
        """The loss has a gradient with respect to the fused images, which a learned loss needs."""
        _, fused, found = self.evaluated()
        gradient = torch.autograd.grad(found.total, fused, allow_unused=True)[0] if found.total.requires_grad else None
        if gradient is None or not bool((gradient != 0).any()):
            raise AssertionError("gradient at the fused images: expected one, found none")
        expect(bool(torch.isfinite(gradient).all()), "gradient at the fused images: expected finite numbers")

    def test_loss_reaches_the_evaluator(self) -> None:
        """The loss has a gradient with respect to the evaluator's parameters, so that the evaluator can be trained."""
        evaluator, _, found = self.evaluated()
        parameters = [parameter for parameter in evaluator.parameters() if parameter.requires_grad]
        if not parameters:
            raise SkipTest("the evaluator has no trainable parameters")
        gradients = torch.autograd.grad(found.total, parameters, allow_unused=True) if found.total.requires_grad else ()
        expect(
            any(g is not None and bool((g != 0).any()) for g in gradients),
            "gradient at the evaluator's parameters: expected one, found none",
        )

    def test_batch_and_images_are_not_changed(self) -> None:
        """It does not change its input images and labels."""
        objective, batch, before = self.make(), self.batch(), self.batch()
        fused = batch.sources[0].clone()
        objective.loss(objective.evaluator(self.training()), fused, batch)
        expect_same("fused images after the loss", fused, before.sources[0])
        for index, (source, was) in enumerate(zip(batch.sources, before.sources, strict=True)):
            expect_same(f"source {index} after the loss", source, was)
        if batch.labels is not None and before.labels is not None:
            expect_same("labels after the loss", batch.labels, before.labels)

    def test_missing_labels_are_refused(self) -> None:
        """If it needs labels, a batch without labels is refused with a ValueError."""
        if "labels" not in self.config().needs():
            raise SkipTest("it needs no labels")
        objective, batch = self.make(), replace(self.batch(), labels=None)
        try:
            objective.loss(objective.evaluator(self.training()), batch.sources[0], batch)
        except ValueError:
            return
        raise AssertionError("a batch without labels: expected a ValueError, found a loss")
