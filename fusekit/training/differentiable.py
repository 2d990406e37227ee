"""Differentiable gradient-descent steps: updated weights that keep their computation graph."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fusekit.training.distributed import mean_over_ranks, world_size

Weights = dict[str, Tensor]
"""Weights of a module by name, for `torch.func.functional_call`."""


def weights_of(module: nn.Module) -> Weights:
    """The trainable parameters of a module by name."""
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}


def differentiable_step(weights: Mapping[str, Tensor], loss: Tensor, rate: float) -> Weights:
    """θ' = θ - η ∇L, keeping the graph: θ' can be differentiated with respect to everything that L depends on.

    In distributed training the gradient is the mean over all processes, and so is the gradient of the backward pass.

    Args:
        weights: θ, with which `loss` was computed.
        loss: L, a scalar.
        rate: Learning rate η.

    Returns:
        θ'; weights on which L does not depend are unchanged.
    """
    gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True, allow_unused=True)
    if world_size() > 1:  # all processes must exchange the same tensors, even those without a gradient here
        filled = [torch.zeros_like(w) if g is None else g for w, g in zip(weights.values(), gradients, strict=True)]
        gradients = tuple(mean_over_ranks(filled))
    steps = zip(weights.items(), gradients, strict=True)
    return {name: weight if gradient is None else weight - rate * gradient for (name, weight), gradient in steps}
