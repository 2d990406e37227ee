"""Validation: how good the weights are by now, on scenes that are not trained on, without a trace on the training."""

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
    """Measures the parts as they are, scene by scene; what it measures depends on their weights and the scene only."""

    @property
    def name(self) -> str:
        """Name of the metric or loss."""
        ...

    @property
    def is_metric(self) -> bool:
        """Whether the value is of other units than the losses."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """Direction."""
        ...

    def __len__(self) -> int:
        """Number of scenes."""
        ...

    def measure(self, number: int) -> float:
        """Value of one scene; NaN where it has none. The parts are in evaluation mode."""
        ...

    def mean(self, values: Sequence[float]) -> float:
        """The value of all scenes; NaN where there is none."""
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
    """Measures all scenes and leaves everything as it was: modes, statistics, gradients, random state.

    Chance, where a measure draws any, depends on the scene alone, so that values of different steps can be compared.
    Several processes share the scenes, and all of them hear all values.

    Args:
        count: Number of scenes.
        measure: Value of a scene by its number.
        system: The parts; in evaluation mode meanwhile.
        seed: Root seed.
        phase: Name of the phase.
        device: Where training runs.
    """
    mine = range(distributed.rank(), count, distributed.world_size())
    measured = []
    with torch.random.fork_rng(devices=generators_of(device)), undisturbed(system), torch.no_grad():
        for number in mine:
            torch.manual_seed(stream_seed(seed, phase, "validate", number))
            measured.append((number, measure(number)))
    values = dict(pair for said in distributed.gather(measured) for pair in said)
    return [values[number] for number in range(count)]


class LossOfStrategy:
    """A loss that the strategy tells, on whole scenes, one at a time.

    Args:
        strategy: Whose loss.
        name: Which.
        data: The scenes, as batches of one.
        device: Where training runs.
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
            PluginError: The strategy does not tell a loss that its ``Config`` names.
        """
        losses = self.strategy.losses(self.data.batch("validate", 0, number).to(self.device))
        if self.name not in losses:
            raise PluginError(
                f"strategy {type(self.strategy).__name__} does not tell the loss {self.name!r} that its Config names; "
                f"it tells {', '.join(sorted(losses)) or 'none'}",
                hint="it is the plugin that needs mending: losses() must tell what losses() of its Config names",
            )
        return float(losses[self.name])

    def mean(self, values: Sequence[float]) -> float:
        """The mean; NaN as soon as one is: a loss is defined everywhere."""
        return sum(values) / len(values)
