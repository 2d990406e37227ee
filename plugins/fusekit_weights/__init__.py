"""Plugin with the trained weights of fusekit. Imports no torch.

To add weights: make their file with ``fusekit weights pack RUN -o plugins/fusekit_weights/files/NAME.safetensors``, and
declare it below.
"""

from __future__ import annotations

from fusekit.plugin import WeightsSpec, hookimpl

FUSEKIT_API = ">=1.0,<2"


@hookimpl
def fusekit_weights() -> list[WeightsSpec]:
    """Declare the shipped weights."""
    return []
