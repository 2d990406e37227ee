"""Plugin that logs runs to TensorBoard. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from fusekit.plugin import ComponentSpec, component, hookimpl

FUSEKIT_API = ">=1.0,<2"


@hookimpl
def fusekit_components() -> Sequence[ComponentSpec]:
    """Declare the observer that writes event files."""
    return [
        component(
            "observer",
            "tensorboard.scalars",
            target="fusekit_tensorboard.scalars:Scalars",
            config="fusekit_tensorboard.config:ScalarsConfig",
            summary="Writes losses, learning rate and validation values as TensorBoard event files",
        ),
    ]
