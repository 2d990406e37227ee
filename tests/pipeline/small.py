"""A whole recipe, as small as it gets."""

from __future__ import annotations

from typing import Any

import fusekit


def small_recipe(name: str = "small", **changes: Any) -> fusekit.Recipe:
    """UAAFusion with four channels and two stages on four rendered scenes of 48x64.

    Args:
        name: Name of the run.
        **changes: Overrides by dotted path, with ``__`` for the dot.
    """
    plain: dict[str, Any] = {
        "schema": 1,
        "name": name,
        "seed": 3,
        "data": {
            "use": "scenes.streets",
            "params": {"train": 4, "val": 1, "test": 3, "height": 48, "width": 64},
        },
        "model": {
            "backbone": {
                "use": "uaafusion.unfolding",
                "params": {
                    "stages": 2,
                    "channels": 4,
                    "stage": {"use": "uaafusion.stage", "params": {"channels": 4}},
                },
            },
            "proposer": {"use": "uaafusion.attribution"},
            "task": {"use": "tasks.smp", "params": {"encoder": "tu-mobilenetv3_small_050"}},
            "guidance": {"use": "uaafusion.attribution_guidance"},
        },
        "pretrain": {
            "segmenter": {
                "strategy": {"use": "tasks.supervised"},
                "epochs": 1,
                "batch": 2,
                "sampling": {"size": 32},
            }
        },
        "train": {
            "strategy": {"use": "uaafusion.joint"},
            "epochs": 1,
            "batch": 2,
            "sampling": {"mode": "patches", "size": 32},
            "max_steps": 2,
        },
        "evaluate": {"pictures": 1},
    }
    overrides = [f"{path.replace('__', '.')}={value}" for path, value in changes.items()]
    return fusekit.Recipe.from_dict(plain, overrides)
