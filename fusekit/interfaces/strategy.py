"""The strategy: the only place where a training algorithm lives."""

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
from fusekit.interfaces.loss import LossProposer
from fusekit.interfaces.reconstruction import ReconstructionHead
from fusekit.interfaces.task import TaskNetwork
from fusekit.interfaces.types import Batch, LossTerms

UpdateRule = Literal["recipe", "plain"] | Callable[[Sequence[Tensor]], None]
"""How an updater turns a gradient into a change of weights; see `TrainingContext.updater`."""


@dataclass(frozen=True)
class StepPlan:
    """One step of an epoch: what it is called, and which batches it takes.

    Attributes:
        name: What the log calls it.
        draws: Streams of training data that it takes one batch from each, in order. Every stream is a shuffled
            walk of its own through the data, and a recipe may cut its samples in another way
            (``train.streams``).
    """

    name: str
    draws: tuple[str, ...] = ("train",)


@dataclass(frozen=True)
class StepRecord:
    """What a step reports.

    Attributes:
        losses: Named scalars, for the curves.
    """

    losses: Mapping[str, float] = field(default_factory=dict)


class Updater(Protocol):
    """Minimises a loss over a fixed set of parameters: backward, finite check, clipping, optimiser step."""

    @property
    def lr(self) -> float:
        """Learning rate of the current step."""
        ...

    def __call__(self, loss: Tensor | LossTerms) -> None:
        """One update.

        Raises:
            NonFiniteError: The loss or a gradient is not finite; names the term.
        """
        ...


class TrainingContext(Protocol):
    """What the trainer gives to a strategy: the parts of the model, and the means to update them."""

    backbone: FusionBackbone
    proposer: LossProposer | None
    reconstruction: ReconstructionHead | None
    task: TaskNetwork | None
    device: torch.device

    def updater(self, name: str, *parts: tuple[nn.Module, float] | nn.Module, rule: UpdateRule = "recipe") -> Updater:
        """An updater with the recipe's schedule and clipping; its state is checkpointed.

        Args:
            name: What it is called in checkpoints and errors.
            *parts: Modules whose weights it changes; ``(module, factor)`` scales the learning rate for it.
            rule: ``recipe``: the recipe's optimiser; ``plain``: gradient descent without memory; a
                function: as plain, after the function has changed the gradients of all weights, which it is given
                together, in place. It sees them clipped and finite.
        """
        ...

    def guidance(self, batch: Batch) -> Guidance | None:
        """What the task network says about one batch; None where the model has no guidance.

        Within a step, the same batch object has one guidance, which computes each attribution once, with the
        task network as it was when first asked. A change of the network is seen from the next step on; the
        gradient of the task on an image, which is asked for image by image, is always of the network as it is.
        """
        ...

    def autocast(self) -> AbstractContextManager[Any]:
        """The recipe's precision: bf16 autocast, or nothing."""
        ...


class Strategy(Component, ABC):
    """A training algorithm. The trainer keeps the books; a strategy reads as the paper's algorithm.

    Its ``Config`` says before anything is built which parts it needs (`ComponentConfig.needs`), which of them
    must have weights to learn (`ComponentConfig.trains`), and which streams of data it draws from
    (`ComponentConfig.streams`). A strategy that is to be validated by its losses names them there too
    (`ComponentConfig.losses`).
    """

    @abstractmethod
    def setup(self, training: TrainingContext) -> None:
        """Takes the parts and makes its updaters. Called once, before the first step or a resume."""

    def plan(self, batches: int) -> Sequence[StepPlan]:
        """The steps of one epoch.

        Args:
            batches: Number of batches in one pass over the training data.
        """
        return [StepPlan("train")] * batches

    @abstractmethod
    def step(self, plan: StepPlan, batches: Sequence[Batch]) -> StepRecord:
        """Does one step of the plan.

        Args:
            plan: Which step of the epoch's plan this is.
            batches: One batch of each stream that the plan draws from, on the training device.
        """

    def losses(self, batch: Batch) -> Mapping[str, float]:
        """What the losses of a batch are by now, without learning from it; for validation.

        The trainer calls it between steps, with the parts in evaluation mode, their weights frozen and gradients
        off, and puts all that back. It must change nothing, and wait for no other process.

        Args:
            batch: A batch that is not trained on, on the training device.

        Returns:
            At least the losses that ``Config.losses()`` names.
        """
        return {}

    def state_dict(self) -> dict[str, Any]:
        """State beyond the parts' weights and the updaters (tensors and plain data only)."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts back what `state_dict` returned."""
        return None
