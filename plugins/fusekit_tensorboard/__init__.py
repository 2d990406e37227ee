"""Runs in TensorBoard. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from fusekit.plugin import ComponentSpec, component, hookimpl

FUSEKIT_API = ">=1.0,<2"


@hookimpl
def fusekit_components() -> Sequence[ComponentSpec]:
    """The observer that writes event files."""
    return [
        component(
            "observer",
            "tensorboard.scalars",
            target="fusekit_tensorboard.scalars:Scalars",
            config="fusekit_tensorboard.config:ScalarsConfig",
            summary="Losses, learning rate and validation as event files of TensorBoard",
        ),
    ]
