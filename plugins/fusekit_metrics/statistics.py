"""Metrics of first and second order statistics: SD, CC and SCD."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue
from fusekit_metrics.pairwise import PairwiseMetric


def pearson(first: Tensor, second: Tensor) -> float:
    """Pearson correlation over pixels of two integer-valued images; NaN if one of them is constant.

    Integer values make the test for a constant image exact: in float64 the mean of equal integers has no error.
    """
    deviation_first = first.to(torch.float64) - first.to(torch.float64).mean()
    deviation_second = second.to(torch.float64) - second.to(torch.float64).mean()
    power = float(deviation_first.square().sum()) * float(deviation_second.square().sum())
    if power == 0.0:
        return math.nan
    return float((deviation_first * deviation_second).sum()) / math.sqrt(power)


class StandardDeviation(Metric):
    """SD, the contrast of the fused image in grey levels: ``sqrt(mean((F - mean F)^2))``.

    Source: in common use without an original publication; see Ma, Ma, Li, "Infrared and visible image fusion
    methods and applications: a survey", Information Fusion 45, 2019.
    """

    name: ClassVar[str] = "SD"
    dialect: ClassVar[str] = "strict"

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the fused image; the sources are not used."""
        return MetricValue(float(fused.to(torch.float64).std(correction=0)))


class CorrelationCoefficient(PairwiseMetric):
    """CC, the mean over the sources of the Pearson correlation ``r(S_i, F)``; NaN if an image is constant.

    Source: Deshmukh, Bhosale, "Image fusion and image quality assessment of fused images", International
    Journal of Image Processing 4 (5), 2010.
    """

    name: ClassVar[str] = "CC"
    dialect: ClassVar[str] = "strict"
    over_sources: ClassVar[Literal["sum", "mean"]] = "mean"

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the correlation with one source."""
        return pearson(source, fused)


class SumOfCorrelationsOfDifferences(Metric):
    """SCD, the similarity of F minus one source to the other source: ``r(F - B, A) + r(F - A, B)``.

    With N sources it is ``sum_i r(F - mean_{j != i} S_j, S_i)``, which is the definition itself for N = 2. The mean of
    the other sources is subtracted, not their sum, because F has the scale of one source: if F is the mean of all
    sources, the difference is ``(S_i - mean of the others) / N`` for any N. It is NaN for a single source, because no
    other source can be subtracted; if one of the differences is constant, as for a copy of one of two sources; and if
    a source is constant.

    Source: Aslantas, Bendes, "A new image quality metric for image fusion: the sum of the correlations of
    differences", AEU International Journal of Electronics and Communications 69 (12), 2015.
    """

    name: ClassVar[str] = "SCD"
    dialect: ClassVar[str] = "strict"

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the correlation of each source with its difference image, and the sum."""
        others = len(sources) - 1
        if others == 0:
            return MetricValue(math.nan, (math.nan,))
        integers = [source.to(torch.int64) for source in sources]
        total = torch.stack(integers).sum(dim=0)
        # (N - 1) times the difference: correlation ignores the factor, and integers stay exact.
        scaled = others * fused.to(torch.int64) - total
        correlations = tuple(pearson(scaled + source, source) for source in integers)
        return MetricValue(sum(correlations), correlations)
