"""Entry module of the metrics of the `zoo` dialect. Imports no torch."""

from __future__ import annotations

from fusekit.plugin import ComponentSpec, component, hookimpl

# Name, class, summary.
_METRICS = (
    ("en", "Entropy", "Entropy of the fused image, in bits"),
    ("sd", "StandardDeviation", "Standard deviation of the fused image, in grey levels"),
    ("sf", "SpatialFrequency", "Spatial frequency of the fused image, in grey levels"),
    ("ag", "AverageGradient", "Average gradient of the fused image, in grey levels"),
    ("mi", "MutualInformation", "Mutual information with the sources, summed, in bits"),
    ("mse", "MeanSquaredError", "Mean squared error against the sources, of images in [0, 1], averaged"),
    ("psnr", "SignalToNoise", "Peak signal-to-noise ratio with 48.13 dB too much, in dB"),
    ("cc", "CorrelationCoefficient", "Correlation with the sources, averaged"),
    ("scd", "SumOfCorrelationsOfDifferences", "Sum of the correlations of differences"),
    ("vif", "VisualInformationFidelity", "Visual information fidelity in off-centre windows, summed"),
    ("qabf", "EdgePreservation", "Share of the sources' edges that the fused image keeps, with a border of zeros"),
    ("nabf", "FusionArtefacts", "Share of edges in the fused image that no source has, strong edges only"),
)


@hookimpl
def fusekit_components() -> list[ComponentSpec]:
    """Declare the metrics of the ``zoo`` dialect."""
    return [
        component("metric", f"zoo.{name}", target=f"fusekit_metrics.zoo:{target}", summary=summary)
        for name, target, summary in _METRICS
    ]
