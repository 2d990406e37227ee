"""Entry module of the metrics of the `tdfusion` dialect. Imports no torch."""

from __future__ import annotations

from fusekit.plugin import ComponentSpec, component, hookimpl

# Name, class, summary.
_METRICS = (
    ("en", "Entropy", "Entropy of the fused image, in bits"),
    ("sf", "SpatialFrequency", "Spatial frequency of the fused image, in grey levels"),
    ("scd", "SumOfCorrelationsOfDifferences", "Sum of the correlations of differences"),
    ("vif", "VisualInformationFidelity", "Visual information fidelity to the sources, averaged"),
    ("qabf", "EdgePreservation", "Share of the sources' edges that the fused image keeps, with a border of zeros"),
    ("ssim", "StructuralSimilarity", "Structural similarity to the sources, window 7 x 7, averaged"),
)


@hookimpl
def fusekit_components() -> list[ComponentSpec]:
    """Declare the metrics of the ``tdfusion`` dialect."""
    return [
        component("metric", f"tdfusion.{name}", target=f"fusekit_metrics.tdfusion:{target}", summary=summary)
        for name, target, summary in _METRICS
    ]
