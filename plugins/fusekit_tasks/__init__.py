"""Plugin with task networks of segmentation-models-pytorch and their supervised training. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from fusekit.plugin import ComponentSpec, component, hookimpl

FUSEKIT_API = ">=1.0,<2"


@hookimpl
def fusekit_components() -> Sequence[ComponentSpec]:
    """Declare the task networks, and the strategy that trains one alone."""
    return [
        component(
            "task",
            "tasks.smp",
            target="fusekit_tasks.segmentation:SmpSegmenter",
            config="fusekit_tasks.config:SmpConfig",
            summary="Any architecture and encoder of segmentation-models-pytorch, including timm encoders",
        ),
        component(
            "strategy",
            "tasks.supervised",
            target="fusekit_tasks.supervised:SupervisedTask",
            config="fusekit_tasks.config:SupervisedConfig",
            summary="Trains the task network alone, on the labelled sources",
        ),
    ]
