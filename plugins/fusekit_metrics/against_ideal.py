"""The entry module of the metrics that compare with a known ideal; it imports no torch."""

from __future__ import annotations

from fusekit.plugin import ComponentSpec, component, hookimpl

_HOME = "fusekit_metrics.ideal"


@hookimpl
def fusekit_components() -> list[ComponentSpec]:
    """Declare the metrics against the known ideal."""
    return [
        component(
            "metric",
            "ideal.psnr",
            target=f"{_HOME}:IdealSignalToNoise",
            summary="Peak signal-to-noise ratio against the known ideal, in dB",
            in_tables=True,
            needs_ideal=True,
        ),
        component(
            "metric",
            "ideal.ssim",
            target=f"{_HOME}:IdealSimilarity",
            summary="Structural similarity to the known ideal",
            in_tables=True,
            needs_ideal=True,
        ),
    ]
