"""Entry module of the metrics that compare with a known ideal. Imports no torch."""

from __future__ import annotations

from fusekit.plugin import ComponentSpec, component, hookimpl

_MODULE = "fusekit_metrics.ideal"


@hookimpl
def fusekit_components() -> list[ComponentSpec]:
    """Declare the metrics against the known ideal."""
    return [
        component(
            "metric",
            "ideal.psnr",
            target=f"{_MODULE}:IdealSignalToNoise",
            summary="Peak signal-to-noise ratio against the known ideal, in dB",
            in_tables=True,
            needs_ideal=True,
        ),
        component(
            "metric",
            "ideal.ssim",
            target=f"{_MODULE}:IdealSimilarity",
            summary="Structural similarity to the known ideal",
            in_tables=True,
            needs_ideal=True,
        ),
    ]
