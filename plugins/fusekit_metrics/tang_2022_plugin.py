"""Entry module of the metrics of the `tang-2022` dialect. Imports no torch."""

from __future__ import annotations

from fusekit.plugin import ComponentSpec, component, hookimpl

# Name, class, summary.
_METRICS = (
    ("en", "Entropy", "Entropy of the fused image, in bits"),
    ("sd", "StandardDeviation", "Standard deviation of the fused image in saturating 8-bit arithmetic, at most 15.97"),
    ("sf", "SpatialFrequency", "Spatial frequency of the fused image in [0, 1]"),
    ("ag", "AverageGradient", "Average gradient of the fused image, divided by (M - 1)(N - 1)"),
    ("mi", "MutualInformation", "Mutual information with the sources, levels 254 and 255 merged, summed, in bits"),
    ("mse", "MeanSquaredError", "Mean squared error against the sources, of images in [0, 1], averaged"),
    ("psnr", "SignalToNoise", "Peak signal-to-noise ratio with 48.13 dB too much, in dB"),
    ("cc", "CorrelationCoefficient", "Correlation with the sources, averaged"),
    ("scd", "SumOfCorrelationsOfDifferences", "Sum of the correlations of differences"),
    ("vif", "VisualInformationFidelity", "Visual information fidelity in saturating 8-bit arithmetic, summed"),
    ("qabf", "EdgePreservation", "Share of the sources' edges that the fused image keeps, of images in [0, 1]"),
)


@hookimpl
def fusekit_components() -> list[ComponentSpec]:
    """Declare the metrics of the ``tang-2022`` dialect."""
    return [
        component("metric", f"tang-2022.{name}", target=f"fusekit_metrics.tang:{target}2022", summary=summary)
        for name, target, summary in _METRICS
    ]
