"""Entry module of the metrics of the `vifb` dialect. Imports no torch."""

from __future__ import annotations

from fusekit.plugin import ComponentSpec, component, hookimpl

# Name, class, summary.
_METRICS = (
    ("en", "Entropy", "Entropy of the fused image, in bits"),
    ("sd", "StandardDeviation", "Standard deviation of the fused image, in grey levels"),
    ("sf", "SpatialFrequency", "Spatial frequency of the fused image, per pixel, in grey levels"),
    ("ag", "AverageGradient", "Average gradient of the fused image, divided by (M - 1)(N - 1)"),
    ("ei", "EdgeIntensity", "Edge intensity of the fused image, in grey levels"),
    ("mi", "MutualInformation", "Mutual information of stretched images, summed, in nats"),
    ("ce", "CrossEntropy", "Cross entropy of the sources and the fused image, averaged, in bits"),
    ("rmse", "RootError", "Root of the sum of squared errors, divided by the number of pixels, averaged"),
    ("psnr", "SignalToNoise", "Peak signal-to-noise ratio of the error of vifb.rmse, in dB"),
    ("qabf", "EdgePreservation", "Share of the sources' edges that the fused image keeps, with a border of zeros"),
    ("ssim", "StructuralSimilarity", "Structural similarity to the sources, summed"),
    ("qcb", "ContrastPreservation", "Preservation of the sources' local contrast, weighted by saliency"),
    ("qcv", "VisibleDifference", "Visible difference from the sources, weighted by saliency"),
)


@hookimpl
def fusekit_components() -> list[ComponentSpec]:
    """Declare the metrics of the ``vifb`` dialect."""
    return [
        component("metric", f"vifb.{name}", target=f"fusekit_metrics.vifb:{target}", summary=summary)
        for name, target, summary in _METRICS
    ]
