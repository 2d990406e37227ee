"""Run a network in evaluation mode without changing its state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Context manager: evaluation mode and frozen parameters inside; mode and flags are restored, also on errors.

    In evaluation mode batch normalisation neither couples the images of a batch nor updates its statistics.
    """
    modes = [(module, module.training) for module in network.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    network.eval()
    network.requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
