"""Entry module of the metrics of the `cddfuse` dialect. Imports no torch."""

from __future__ import annotations

from fusekit.plugin import ComponentSpec, component, hookimpl

# Name, class, summary.
_METRICS = (
    ("en", "Entropy", "Entropy of the fused image, in bits"),
    ("sd", "StandardDeviation", "Standard deviation of the fused image, in grey levels"),
    ("sf", "SpatialFrequency", "Spatial frequency of the fused image, in grey levels"),
    ("ag", "AverageGradient", "Average gradient of the fused image, in grey levels"),
    ("mi", "MutualInformation", "Mutual information with the sources, summed, in nats"),
    ("mse", "MeanSquaredError", "Mean squared error against the sources, averaged"),
    ("cc", "CorrelationCoefficient", "Correlation with the sources, averaged"),
    ("psnr", "SignalToNoise", "Peak signal-to-noise ratio with the maximum of the fused image as the peak, in dB"),
    ("scd", "SumOfCorrelationsOfDifferences", "Sum of the correlations of differences"),
    ("vif", "VisualInformationFidelity", "Visual information fidelity to the sources, summed"),
    ("qabf", "EdgePreservation", "Share of the sources' edges that the fused image keeps, with a border of zeros"),
    ("ssim", "StructuralSimilarity", "Structural similarity to the sources, window 7 x 7 and L = 2, summed"),
)


@hookimpl
def fusekit_components() -> list[ComponentSpec]:
    """Declare the metrics of the ``cddfuse`` dialect."""
    return [
        component("metric", f"cddfuse.{name}", target=f"fusekit_metrics.cddfuse:{target}", summary=summary)
        for name, target, summary in _METRICS
    ]
