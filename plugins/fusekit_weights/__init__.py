"""Plugin with the trained weights of fusekit. Imports no torch.

To add weights: make their file with ``fusekit weights pack RUN -o plugins/fusekit_weights/files/NAME.safetensors``, and
declare it below.
"""

from __future__ import annotations

from fusekit.plugin import WeightsSpec, hookimpl, weights

FUSEKIT_API = ">=1.0,<2"


# Name, task, default of its task, summary.
_WEIGHTS = (
    (
        "refusion-ivif-plus",
        "infrared-visible",
        True,
        "ReFusion's network for infrared and visible images, with a fixed loss of named terms",
    ),
    (
        "refusion-ivif",
        "infrared-visible",
        False,
        "ReFusion for infrared and visible images, trained with its learned loss alone",
    ),
    ("refusion-medical", "medical", True, "ReFusion's network for MRI with CT, PET or SPECT, with a fixed loss"),
    (
        "refusion-multiexposure",
        "multi-exposure",
        True,
        "ReFusion's network for an under- and an over-exposed image, towards contrast and good exposure",
    ),
    # Not the default: the Laplacian pyramid is better (docs/shipped-weights.md).
    (
        "refusion-multifocus",
        "multi-focus",
        False,
        "ReFusion's network for two images of different focus, towards the sharper one",
    ),
    (
        "tdfusion-msrs",
        "infrared-visible",
        False,
        "TDFusion for infrared and visible street scenes, its loss learned through a segmentation network",
    ),
    (
        "uaafusion-msrs",
        "infrared-visible",
        False,
        "UAAFusion for infrared and visible street scenes, guided by the attribution of its segmentation network",
    ),
    (
        "segmenter-msrs",
        "segmentation",
        False,
        "DeepLabV3+ for the nine classes of MSRS, on infrared, visible and fused street scenes",
    ),
)


@hookimpl
def fusekit_weights() -> list[WeightsSpec]:
    """Declare the shipped weights."""
    return [
        weights(f"weights.{name}", file=f"files/{name}.safetensors", task=task, summary=summary, default=default)
        for name, task, default, summary in _WEIGHTS
    ]
