"""The rendered sources on which weights are verified."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fusekit.errors import UsageError
from fusekit.interfaces.config import ComponentRef
from fusekit.plugin.registry import Registry
from fusekit.recipe.components import configure

SEED, HEIGHT, WIDTH = 20260101, 96, 128

_PAIRS = {"medical": "medical", "multi-focus": "multifocus", "multi-exposure": "multiexposure"}


def synthetic_pair(task: str, roles: tuple[str, ...], components: Registry) -> dict[str, Tensor]:
    """A rendered pair for a task: the first test scene of the built-in scenes, with a fixed seed.

    Args:
        task: Task of the weights; a task without rendered scenes of its own uses an infrared-visible pair.
        roles: Roles of the sources, in the order of the rendered ones.
        components: Registry that provides the rendered scenes.

    Returns:
        The sources by role, each (1 or 3, H, W) in [0, 1], rounded to 8 bits.

    Raises:
        UsageError: The number of sources is not two.
        PluginError: The plugin of the rendered scenes is not loaded.
    """
    if len(roles) != 2:
        raise UsageError(f"weights of {len(roles)} sources cannot be verified; rendered scenes have two")
    name, params = "scenes.streets", dict[str, Any](height=HEIGHT, width=WIDTH, test=1)
    if task in _PAIRS:
        name, params = "scenes.ideal_pairs", {**params, "task": _PAIRS[task]}
    ref = ComponentRef(use=name, params=params)
    dataset = components.component_class("dataset", name)(
        configure("dataset", ref, components), None, "test", seed=SEED
    )
    images = dataset[0].images
    return {role: torch.round(image * 255.0) / 255.0 for role, image in zip(roles, images, strict=True)}
