"""The entry module of the metrics that compare with a known ideal; it imports no torch."""

from __future__ import annotations

from fusekit.plugin import ComponentSpec, component, hookimpl

_HOME = "fusekit.evaluation.metrics.ideal"

# What is measured where the data knows the ideal and the recipe does not choose its metrics.
DEFAULT = ("ideal.psnr", "ideal.ssim")


@hookimpl
def fusekit_components() -> list[ComponentSpec]:
    """Declare the metrics against the known ideal."""
    return [
        component(
            "metric",
            "ideal.psnr",
            target=f"{_HOME}:IdealSignalToNoise",
            summary="Peak signal-to-noise ratio against the known ideal, in dB",
        ),
        component(
            "metric",
            "ideal.ssim",
            target=f"{_HOME}:IdealSimilarity",
            summary="Structural similarity to the known ideal",
        ),
    ]
