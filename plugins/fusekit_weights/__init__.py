"""Plugin with the trained weights of fusekit. Imports no torch.

To add weights: make their file with ``fusekit weights pack RUN -o plugins/fusekit_weights/files/NAME.safetensors``, and
declare it below.
"""

from __future__ import annotations

from fusekit.plugin import WeightsSpec, hookimpl, weights

FUSEKIT_API = ">=1.0,<2"


@hookimpl
def fusekit_weights() -> list[WeightsSpec]:
    """Declare the shipped weights."""
    return [
        weights(
            "weights.segmenter-msrs",
            file="files/segmenter-msrs.safetensors",
            task="segmentation",
            summary="DeepLabV3+ for the nine classes of MSRS, on infrared, visible and fused street scenes",
        ),
    ]
