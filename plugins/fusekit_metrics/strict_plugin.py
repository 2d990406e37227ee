"""Entry module of the metrics of the `strict` dialect. Imports no torch."""

from __future__ import annotations

from fusekit.plugin import ComponentSpec, component, hookimpl

_PACKAGE = "fusekit_metrics"

# Name, module and class, summary.
_STRICT = (
    ("en", "information:Entropy", "Entropy of the fused image, in bits"),
    ("sd", "statistics:StandardDeviation", "Standard deviation of the fused image, in grey levels"),
    ("sf", "gradient:SpatialFrequency", "Spatial frequency of the fused image, in grey levels"),
    ("ag", "gradient:AverageGradient", "Average gradient of the fused image, in grey levels"),
    ("mi", "information:MutualInformation", "Mutual information with the sources, summed, in bits"),
    ("cc", "statistics:CorrelationCoefficient", "Correlation with the sources, averaged"),
    ("scd", "statistics:SumOfCorrelationsOfDifferences", "Sum of the correlations of differences"),
    ("vif", "structure:VisualInformationFidelity", "Visual information fidelity to the sources, summed"),
    ("qabf", "gradient:EdgePreservation", "Share of the sources' edges that the fused image keeps"),
    ("ssim", "structure:StructuralSimilarity", "Structural similarity to the sources, summed"),
)


@hookimpl
def fusekit_components() -> list[ComponentSpec]:
    """Declare the metrics of the ``strict`` dialect."""
    return [
        component("metric", f"strict.{name}", target=f"{_PACKAGE}.{target}", summary=summary, in_tables=True)
        for name, target, summary in _STRICT
    ]
