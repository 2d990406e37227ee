"""The strategy: implements a training algorithm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from fusekit.interfaces.backbone import FusionBackbone
from fusekit.interfaces.component import Component
from fusekit.interfaces.guidance import Guidance
from fusekit.interfaces.proposer import LossProposer
from fusekit.interfaces.reconstruction import ReconstructionHead
from fusekit.interfaces.task import TaskNetwork
from fusekit.interfaces.types import Batch, LossTerms

UpdateRule = Literal["recipe", "plain"] | Callable[[Sequence[Tensor]], None]
"""How an updater turns a gradient into a change of parameters; see `TrainingContext.updater`."""


@dataclass(frozen=True)
class StepPlan:
    """One step of an epoch: its name, and the batches that it takes.

    Attributes:
        name: Name of the step in the log.
        draws: Streams of training data; the step takes one batch from each, in this order. Every stream is an
            independently shuffled pass over the data, and a recipe may give a stream its own sampling
            (``train.streams``).
    """

    name: str
    draws: tuple[str, ...] = ("train",)


@dataclass(frozen=True)
class StepRecord:
    """Values that a step reports.

    Attributes:
        losses: Named scalars, for the training curves.
    """

    losses: Mapping[str, float] = field(default_factory=dict)


class Updater(Protocol):
    """Minimises a loss over a fixed set of parameters: backward, finite check, clipping, optimiser step."""

    @property
    def lr(self) -> float:
        """Learning rate of the current step."""
        ...

    def __call__(self, loss: Tensor | LossTerms) -> None:
        """Performs one update.

        Raises:
            NonFiniteError: The loss or a gradient is not finite; the message names the term.
        """
        ...


class TrainingContext(Protocol):
    """Interface of the trainer for a strategy: the parts of the model, and the means to update them."""

    backbone: FusionBackbone
    proposer: LossProposer | None
    reconstruction: ReconstructionHead | None
    task: TaskNetwork | None
    device: torch.device

    def updater(self, name: str, *parts: tuple[nn.Module, float] | nn.Module, rule: UpdateRule = "recipe") -> Updater:
        """An updater with the recipe's schedule and clipping; its state is checkpointed.

        Args:
            name: Name in checkpoints and error messages.
            *parts: Modules whose parameters it updates; ``(module, factor)`` scales the learning rate of a module.
            rule: ``recipe``: the recipe's optimiser; ``plain``: gradient descent without optimiser state; a
                function: as ``plain``, but the function first modifies the gradients in place. It receives the
                gradients of all parameters together, clipped and finite.
        """
        ...

    def guidance(self, batch: Batch) -> Guidance | None:
        """Guidance from the task network for one batch; None if the model has no guidance.

        Within a step, the same batch object has one guidance, which computes each attribution once, with the task
        network in its state at the first use. A change of the network takes effect from the next step on. The task
        gradient, which is requested for each image separately, always uses the current state of the network.
        """
        ...

    def autocast(self) -> AbstractContextManager[Any]:
        """Context manager for the recipe's precision: bf16 autocast, or no change."""
        ...


class Strategy(Component, ABC):
    """A training algorithm. The trainer runs the loop, schedules and checkpoints; a strategy holds only the algorithm.

    Its ``Config`` declares, before anything is built, which parts it needs (`ComponentConfig.needs`), which of them
    must have trainable parameters (`ComponentConfig.trains`), and which streams of data it draws from
    (`ComponentConfig.streams`). A strategy that is to be validated by its losses also names them there
    (`ComponentConfig.losses`).
    """

    @abstractmethod
    def setup(self, training: TrainingContext) -> None:
        """Receives the parts and makes the updaters. Called once, before the first step or before resuming."""

    def plan(self, batches: int) -> Sequence[StepPlan]:
        """The steps of one epoch.

        Args:
            batches: Number of batches in one pass over the training data.
        """
        return [StepPlan("train")] * batches

    @abstractmethod
    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        """Performs one step of the plan.

        Args:
            plan: The step, one of the epoch's plan.
            batches: One batch of each stream that the step draws from, on the training device.
        """

    def losses(self, batch: Batch) -> Mapping[str, float]:
        """Computes the current losses of a batch without training on it; for validation.

        The trainer calls it between steps, with the parts in evaluation mode, their parameters frozen and gradients
        disabled, and restores all of that afterwards. It must not change any state or wait for another process.

        Args:
            batch: A validation batch on the training device.

        Returns:
            At least the losses that ``Config.losses()`` names.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """State beyond the parts' parameters and the updaters (tensors and plain data only)."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores the state that `state_dict` returned."""
        return None
