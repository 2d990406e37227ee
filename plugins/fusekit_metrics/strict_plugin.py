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

# Further metrics, which are not columns of a table unless a recipe names them.
_FURTHER = (
    ("ei", "gradient:EdgeIntensity", "Edge intensity of the fused image, in grey levels"),
    ("nmi", "information:NormalisedMutualInformation", "Normalised mutual information with the sources, summed"),
    ("ce", "information:CrossEntropy", "Cross entropy of the sources and the fused image, averaged, in bits"),
    ("mse", "error:MeanSquaredError", "Mean squared error against the sources, averaged"),
    ("psnr", "error:SignalToNoise", "Peak signal-to-noise ratio of the mean error against the sources, in dB"),
    ("ms-ssim", "multiscale:MultiScaleSimilarity", "Structural similarity to the sources at five scales, summed"),
    ("mef-ssim", "multiscale:ExposureSimilarity", "Similarity to the best structure that the sources could give"),
    ("viff", "fidelity:FusionFidelity", "Visual information fidelity to one source per position"),
    ("nabf", "artefacts:FusionArtefacts", "Share of edges in the fused image that no source has"),
    ("fmi-pixel", "features:PixelInformation", "Mutual information of grey levels in windows, averaged"),
    ("fmi-gradient", "features:GradientInformation", "Mutual information of gradient strengths in windows, averaged"),
    ("qcb", "perception:ContrastPreservation", "Preservation of the sources' local contrast, weighted by saliency"),
    ("qcv", "perception:VisibleDifference", "Visible difference from the sources, weighted by saliency"),
    ("ciede2000", "colour:ColourDifference", "Colour difference from the source in colour, lightness included"),
    ("chroma", "colour:ChromaDeviation", "Distance from the chroma of the source in colour, in CIELAB"),
    ("qy", "perception:SwitchedSimilarity", "Similarity to the sources where they agree, else to the nearer one"),
)


@hookimpl
def fusekit_components() -> list[ComponentSpec]:
    """Declare the metrics of the ``strict`` dialect."""
    return [
        component("metric", f"strict.{name}", target=f"{_PACKAGE}.{target}", summary=summary, in_tables=in_tables)
        for metrics, in_tables in ((_STRICT, True), (_FURTHER, False))
        for name, target, summary in metrics
    ]
