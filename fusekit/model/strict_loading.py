"""Loading weights that must fit exactly."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fusekit.errors import DataError


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Loads a state dict that must match exactly; only the precision of floating point tensors may differ.

    Raises:
        DataError: Names, shapes or number types differ; the message lists them.
    """
    own = module.state_dict()
    check_shapes(shapes_of(own), shapes_of(state), what)
    kinds = [
        f"{name} is {_kind(state[name])}, the model has {_kind(value)}"
        for name, value in sorted(own.items())
        if not (value.dtype == state[name].dtype or (value.is_floating_point() and state[name].is_floating_point()))
    ]
    _refuse(kinds, what)
    module.load_state_dict(dict(state))


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def check_shapes(own: Mapping[str, torch.Size], given: Mapping[str, torch.Size], what: str) -> None:
    """Refuses tensors whose names or shapes are not those of the model."""
    missing, unknown = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    shapes = [
        f"{name} is {tuple(given[name])}, the model has {tuple(own[name])}"
        for name in own.keys() & given.keys()
        if own[name] != given[name]
    ]
    _refuse([f"missing {n}" for n in missing] + [f"unknown {n}" for n in unknown] + sorted(shapes), what)


def _refuse(problems: list[str], what: str) -> None:
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise DataError(
            f"{what} does not fit the model: {'; '.join(problems[:5])}{more}",
            hint="the weights belong to a model with other parts or parameters, or to another version",
        )
