"""The dialect `tdfusion`: the evaluator of TDFusion, where it differs from `strict`.

Source: the behaviour of the evaluator of TDFusion (arXiv 2412.03240), which descends from that of CDDFuse, and averages
VIF and SSIM over the sources.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from fusekit_metrics import cddfuse, gradient, information, statistics, structure

DIALECT = "tdfusion"
_WINDOW = structure.uniform_window(7)


class Entropy(information.Entropy):
    """EN, the entropy of the fused image in bits, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class SpatialFrequency(gradient.SpatialFrequency):
    """SF, the spatial frequency of the fused image, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class SumOfCorrelationsOfDifferences(statistics.SumOfCorrelationsOfDifferences):
    """SCD, the sum of the correlations of differences, as in ``strict``."""

    dialect: ClassVar[str] = DIALECT


class VisualInformationFidelity(structure.VisualInformationFidelity):
    """VIF in the pixel domain, **averaged** over the sources; else as in ``strict``."""

    dialect: ClassVar[str] = DIALECT
    over_sources: ClassVar[Literal["sum", "mean"]] = "mean"


class EdgePreservation(cddfuse.EdgePreservation):
    """Qabf with a border of zeros, and with G = g where source and fused image both have g, as in ``cddfuse``."""

    dialect: ClassVar[str] = DIALECT


class StructuralSimilarity(structure.StructuralSimilarity):
    """SSIM, **averaged** over the sources, with a uniform window of 7 x 7 and sample moments; L = 255."""

    dialect: ClassVar[str] = DIALECT
    over_sources: ClassVar[Literal["sum", "mean"]] = "mean"
    minimum_size: ClassVar[int] = 7

    def similarity(self, source: Tensor, fused: Tensor) -> Tensor:
        """SSIM with one source at every position of the window."""
        return structure.ssim_map(source, fused, _WINDOW, unbiased=49.0 / 48.0)
