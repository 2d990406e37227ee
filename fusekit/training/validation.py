"""Validation: measures the current weights on scenes that are not used for training, without affecting training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from fusekit.data.training_data import TrainingData
from fusekit.devices import generators_of
from fusekit.errors import PluginError
from fusekit.interfaces.evaluation_mode import undisturbed
from fusekit.interfaces.strategy import Strategy
from fusekit.model.system import FusionSystem
from fusekit.seeds import stream_seed
from fusekit.training import distributed


class Validator(Protocol):
    """Measures the current parts, scene by scene; values depend only on their weights and the scene."""

    @property
    def name(self) -> str:
        """Name of the metric or loss."""
        ...

    @property
    def is_metric(self) -> bool:
        """Whether the value is a metric, in other units than the losses."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """Whether higher values are better."""
        ...

    def __len__(self) -> int:
        """Number of scenes."""
        ...

    def measure(self, number: int) -> float:
        """Value of one scene; NaN if it is undefined. The parts are in evaluation mode."""
        ...

    def mean(self, values: Sequence[float]) -> float:
        """The value over all scenes; NaN if it is undefined."""
        ...


def measure_all(
    count: int,
    measure: Callable[[int], float],
    system: FusionSystem,
    *,
    seed: int,
    phase: str,
    device: torch.device,
) -> list[float]:
    """Measures all scenes and preserves modes, statistics, gradients and random state.

    Random numbers that a measure uses depend only on the scene, so that values of different steps can be compared.
    In distributed training the scenes are divided among the processes, and each receives all values.

    Args:
        count: Number of scenes.
        measure: Returns the value of a scene by its number.
        system: The parts; set to evaluation mode during the measurement.
        seed: Root seed.
        phase: Name of the phase.
        device: Device of the training.
    """
    mine = range(distributed.rank(), count, distributed.world_size())
    measured = []
    with torch.random.fork_rng(devices=generators_of(device)), undisturbed(system), torch.no_grad():
        for number in mine:
            torch.manual_seed(stream_seed(seed, phase, "validate", number))
            measured.append((number, measure(number)))
    values = dict(pair for share in distributed.gather(measured) for pair in share)
    return [values[number] for number in range(count)]


class LossValidator:
    """Validator that measures a loss of the strategy on whole scenes, one at a time.

    Args:
        strategy: The strategy that computes the loss.
        name: Name of the loss.
        data: The scenes, as batches of one.
        device: Device of the training.
    """

    is_metric = False
    higher_is_better = False

    def __init__(self, strategy: Strategy, name: str, data: TrainingData, device: torch.device) -> None:
        self.strategy = strategy
        self.name = name
        self.data = data
        self.device = device

    def __len__(self) -> int:
        return len(self.data)

    def measure(self, number: int) -> float:
        """The loss of one scene.

        Raises:
            PluginError: The strategy does not return a loss that its ``Config`` names.
        """
        losses = self.strategy.losses(self.data.batch("validate", 0, number).to(self.device))
        if self.name not in losses:
            raise PluginError(
                f"strategy {type(self.strategy).__name__} does not return the loss {self.name!r} that its Config "
                f"names; it returns {', '.join(sorted(losses)) or 'none'}",
                hint="this is a bug in the plugin; please report it to its authors: losses() must return the losses "
                "that losses() of its Config names",
            )
        return float(losses[self.name])

    def mean(self, values: Sequence[float]) -> float:
        """The mean; NaN if any value is NaN, because a loss is defined for every scene."""
        return sum(values) / len(values)
