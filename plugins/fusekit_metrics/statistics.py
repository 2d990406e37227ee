"""Metrics of first and second order statistics: SD, CC and SCD."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue, shared
from fusekit_metrics.filtering import levels
from fusekit_metrics.pairwise import PairwiseMetric


@shared
def total(image: Tensor) -> int:
    """Exact sum of the values of an integer-valued image."""
    return int(levels(image).sum())


@shared
def product(first: Tensor, second: Tensor) -> int:
    """Exact sum over pixels of the product of two images with 8-bit levels."""
    # Sums in float64 are exact up to 2^53, which is 10^11 pixels.
    return int(torch.dot(levels(first).flatten(), levels(second).flatten()))


def covariance(first: Tensor, second: Tensor) -> int:
    """Covariance of two uint8 images of n pixels times n^2, an exact integer."""
    return first.numel() * product(first, second) - total(first) * total(second)


def correlation(product: int, square_1: int, square_2: int) -> float:
    """Correlation from a covariance and two variances with a common factor; NaN if a variance is 0."""
    # Integers, so that the test for a constant image is exact. They can be too large for a float.
    power = square_1 * square_2
    return math.copysign(math.sqrt(product * product / power), product) if power > 0 else math.nan


def pearson(first: Tensor, second: Tensor) -> float:
    """Pearson correlation over pixels of two uint8 images; NaN if one of them is constant."""
    return correlation(covariance(first, second), covariance(first, first), covariance(second, second))


class StandardDeviation(Metric):
    """SD, the contrast of the fused image in grey levels: ``sqrt(mean((F - mean F)^2))``.

    Source: in common use without an original publication; see Ma, Ma, Li, "Infrared and visible image fusion
    methods and applications: a survey", Information Fusion 45, 2019.
    """

    name: ClassVar[str] = "SD"
    dialect: ClassVar[str] = "strict"

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the fused image; the sources are not used."""
        return MetricValue(math.sqrt(covariance(fused, fused)) / fused.numel())


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
        correlations = []
        for index, source in enumerate(sources):
            # (N - 1) times the difference, as factors of the images: correlation ignores the factor, and the covariance
            # of the difference is a sum of those of the images.
            terms = [(others, fused), *((-1, other) for j, other in enumerate(sources) if j != index)]
            with_source = sum(factor * covariance(image, source) for factor, image in terms)
            own = sum(f * g * covariance(first, second) for f, first in terms for g, second in terms)
            correlations.append(correlation(with_source, own, covariance(source, source)))
        return MetricValue(sum(correlations), tuple(correlations))
