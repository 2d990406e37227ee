"""Differentiable steps of gradient descent: weights that remember what they were made from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fusekit.training.distributed import mean_over_ranks, world_size

Weights = dict[str, Tensor]
"""Weights of a module by name, for `torch.func.functional_call`."""


def weights_of(module: nn.Module) -> Weights:
    """The trainable weights of a module by name."""
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}


def differentiable_step(weights: Mapping[str, Tensor], loss: Tensor, rate: float) -> Weights:
    """θ' = θ - η ∇L, keeping the graph: θ' can be differentiated with respect to whatever L depends on.

    In a distributed training the gradient is the mean over all processes, and so is what flows back through it.

    Args:
        weights: θ, which `loss` was computed with.
        loss: L, a scalar.
        rate: η.

    Returns:
        θ'; a weight that L does not depend on stays as it is.
    """
    gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True, allow_unused=True)
    if world_size() > 1:  # all processes exchange the same tensors, used here or not
        filled = [torch.zeros_like(w) if g is None else g for w, g in zip(weights.values(), gradients, strict=True)]
        gradients = tuple(mean_over_ranks(filled))
    steps = zip(weights.items(), gradients, strict=True)
    return {name: weight if gradient is None else weight - rate * gradient for (name, weight), gradient in steps}
