"""Updaters: backward pass, check for non-finite values, clipping, optimiser step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from fusekit.errors import RunError, UsageError
from fusekit.interfaces.strategy import UpdateRule
from fusekit.interfaces.types import LossTerms
from fusekit.recipe.schema import OptimiserSection
from fusekit.training.distributed import any_rank, mean_gradients


class NonFiniteError(RunError):
    """A loss or gradient is NaN or infinite. The weights are those from before the step.

    In distributed training, updaters raise it in all processes at once, even if only one has the non-finite value.

    Args:
        message: Description of the problem.
        hint: What to do about it.
        elsewhere: Whether the non-finite value is in other processes only.
    """

    def __init__(self, message: str, *, hint: str | None = None, elsewhere: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.elsewhere = elsewhere


def make_optimiser(groups: list[dict[str, Any]], section: OptimiserSection) -> torch.optim.Optimizer:
    """The optimiser that a recipe's section describes, for parameter groups in torch's format."""
    common: dict[str, Any] = {"lr": section.lr, "weight_decay": section.weight_decay}
    if section.name == "sgd":
        return torch.optim.SGD(groups, momentum=section.momentum, **common)
    kind = torch.optim.Adam if section.name == "adam" else torch.optim.AdamW
    return kind(groups, betas=section.betas, eps=section.eps, **common)


class GradientUpdater:
    """Minimises a loss over a fixed set of parameters and changes no others.

    In distributed training it minimises the mean of all processes' losses.

    Args:
        name: Name of the updater in checkpoints and errors.
        parameters: Parameters to train, each with a learning-rate factor; frozen ones are left out.
        optimiser: The options of this updater.
        clip: Largest norm of the gradient, or None.
        rule: How a gradient is turned into an update; see `fusekit.interfaces.TrainingContext.updater`.
    """

    def __init__(
        self,
        name: str,
        parameters: Iterable[tuple[nn.Parameter, float]],
        optimiser: OptimiserSection,
        clip: float | None = None,
        rule: UpdateRule = "recipe",
    ) -> None:
        self.name = name
        self.rule = rule
        self.initial_lr = optimiser.lr
        by_factor: dict[float, list[nn.Parameter]] = {}
        for parameter, factor in parameters:
            if parameter.requires_grad:
                by_factor.setdefault(factor, []).append(parameter)
        self.parameters = [p for group in by_factor.values() for p in group]
        if not self.parameters:
            raise UsageError(
                f"updater {name!r} has nothing to train: the part has no trainable parameters",
                hint="a backbone without parameters needs no train section",
            )
        groups = [{"params": group, "factor": factor} for factor, group in by_factor.items()]
        if rule != "recipe":
            optimiser = OptimiserSection(name="sgd", lr=optimiser.lr)
        self.optimiser = make_optimiser(groups, optimiser)
        self.clip = clip

    @property
    def lr(self) -> float:
        """Learning rate of the current step, before parameter factors are applied."""
        group = self.optimiser.param_groups[0]
        return float(group["lr"] / group["factor"])

    def set_lr(self, rate: float) -> None:
        """Sets the learning rate of the next step; called by the trainer."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["factor"]

    def __call__(self, loss: Tensor | LossTerms) -> None:
        """Makes one update.

        Raises:
            NonFiniteError: The loss or a gradient is not finite; no parameter is changed.
        """
        total, terms = (loss.total, loss.terms) if isinstance(loss, LossTerms) else (loss, {})
        here = not bool(torch.isfinite(total))
        if any_rank(here, total.device):
            if not here:
                raise NonFiniteError("the loss of another process is not finite", elsewhere=True)
            bad = [name for name, term in terms.items() if not bool(torch.isfinite(term))]
            raise NonFiniteError(f"the loss is {total.item()}; term: {', '.join(bad) or self.name}")
        # Only gradients of this updater's parameters are computed, so that none accumulate in .grad of other parts.
        gradients = torch.autograd.grad(total, self.parameters, allow_unused=True)
        means = mean_gradients(gradients, self.parameters)
        for parameter, mean in zip(self.parameters, means, strict=True):
            parameter.grad = mean
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.clip if self.clip is not None else math.inf)
        if not bool(torch.isfinite(norm)):
            self.optimiser.zero_grad(set_to_none=True)
            raise NonFiniteError(
                f"the gradient of {self.name} is not finite (its loss was {total.item():.4g})",
                elsewhere=all(bool(g.isfinite().all()) for g in gradients if g is not None),
            )
        if callable(self.rule):
            self.rule([parameter.grad for parameter in self.parameters if parameter.grad is not None])
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """State of the optimiser."""
        return self.optimiser.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores a state returned by `state_dict`."""
        self.optimiser.load_state_dict(state)
