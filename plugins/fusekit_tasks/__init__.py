"""Plugin with task networks on encoders of public libraries, and their supervised training. Imports no torch."""

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
            "task",
            "tasks.centernet",
            target="fusekit_tasks.centernet:CenterNet",
            config="fusekit_tasks.config:CenterNetConfig",
            summary="Small anchor-free detector (Objects as Points) on a timm encoder",
        ),
        component(
            "strategy",
            "tasks.supervised",
            target="fusekit_tasks.supervised:SupervisedTask",
            config="fusekit_tasks.config:SupervisedConfig",
            summary="Trains the task network alone, on sources with label maps or boxes",
        ),
    ]
