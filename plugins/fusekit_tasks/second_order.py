"""Whether a network can be differentiated twice."""

from __future__ import annotations

import torch
from torch import nn

from fusekit.interfaces import undisturbed


def differentiates_twice(network: nn.Module) -> bool:
    """Whether second derivatives exist, tested with a small image in evaluation mode, without changing the network."""
    parameter = next(network.parameters())
    size = 64
    ramp = torch.linspace(0.1, 0.9, size * size, device=parameter.device, dtype=parameter.dtype)
    with undisturbed(network), torch.enable_grad():
        image = ramp.view(1, 1, size, size).clone().requires_grad_()
        try:
            (first,) = torch.autograd.grad(network(image).square().mean(), image, create_graph=True)
            (second,) = torch.autograd.grad(first.square().sum(), image)
        except (RuntimeError, NotImplementedError):
            return False
    return bool(torch.isfinite(second).all())
