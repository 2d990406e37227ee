"""An exponential moving average (EMA) of the weights of a system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class AveragedWeights:
    """The average of a module's weights over the steps: ā ← d·ā + (1 - d)·a, with d = min(decay, (1 + t) / (10 + t)).

    The decay grows with the number t of steps, so that the average of a short training is not dominated by the initial
    weights. Statistics of normalisation layers are averaged too; integers are copied.

    Args:
        module: Whose weights are averaged; the average starts from them.
        decay: Largest decay d, in [0, 1).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = module
        self.decay = decay
        self.steps = 0
        self.average = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights of one more step into the average."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in self.module.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1.0 - decay)
            else:
                self.average[name].copy_(value)

    @torch.no_grad()
    def apply(self) -> None:
        """Gives the module the averaged weights."""
        for name, value in self.module.state_dict().items():
            value.copy_(self.average[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Gives the module the averaged weights for the duration of a ``with`` block."""
        own = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in self.module.state_dict().items():
                    value.copy_(own[name])

    def state_dict(self) -> dict[str, Any]:
        """The average and its number of steps."""
        return {"steps": self.steps, "average": self.average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` returned.

        Raises:
            ValueError: It belongs to another module.
        """
        average: Mapping[str, Tensor] = state["average"]
        if set(average) != set(self.average):
            raise ValueError("the averaged weights belong to another model")
        self.steps = int(state["steps"])
        for name, value in average.items():
            self.average[name].copy_(value)
