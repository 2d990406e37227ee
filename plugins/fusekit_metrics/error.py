"""Metrics of the squared error: MSE and PSNR."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue
from fusekit_metrics.pairwise import PairwiseMetric
from fusekit_metrics.statistics import product

# Mean squared error, in squared grey levels, of rounding to integer grey levels: the variance of an error that is
# uniformly distributed over one level.
ROUNDING = 1.0 / 12.0


def squared_error(first: Tensor, second: Tensor) -> float:
    """Mean squared error of two ``(H, W)`` uint8 images, in squared grey levels."""
    squares = product(first, first) + product(second, second) - 2 * product(first, second)
    return squares / first.numel()


def decibels(peak: float, error: float) -> float:
    """``10 log10(peak^2 / error)``; NaN if one of them is 0, for which the logarithm is infinite."""
    return 10.0 * math.log10(peak**2 / error) if peak > 0.0 and error > 0.0 else math.nan


class MeanSquaredError(PairwiseMetric):
    """MSE, the mean over the sources of ``mean((S_i - F)^2)``, in squared grey levels; lower is better.

    The mean of the sources has the least error of all images, so that a low value is not a sign of a good fusion.

    Source: in common use without an original publication; see Ma, Ma, Li, "Infrared and visible image fusion
    methods and applications: a survey", Information Fusion 45, 2019.
    """

    name: ClassVar[str] = "MSE"
    dialect: ClassVar[str] = "strict"
    higher_is_better: ClassVar[bool] = False
    over_sources: ClassVar[Literal["sum", "mean"]] = "mean"

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the squared error against one source."""
        return squared_error(source, fused)


class SignalToNoise(Metric):
    """PSNR of the error against the sources: ``10 log10(255^2 / MSE)``, in dB, at most 58.92.

    MSE is the mean over the sources, so this is not the mean of the values of ``per_source``. As in `ideal.psnr`, the
    bound is the error of rounding to 8 bits, 1/12 of a squared grey level; without it, equal images would score
    infinity.

    Source: in common use without an original publication; see Jagalingam, Hegde, "A review of quality metrics for
    fused image", Aquatic Procedia 4, 2015.
    """

    name: ClassVar[str] = "PSNR"
    dialect: ClassVar[str] = "strict"
    unit: ClassVar[str] = "dB"

    def error(self, source: Tensor, fused: Tensor) -> float:
        """Squared error against one source."""
        return squared_error(source, fused)

    def ratio(self, error: float, fused: Tensor) -> float:
        """Ratio in dB that belongs to an error."""
        return decibels(255.0, max(error, ROUNDING))

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the PSNR of the mean error, and of the error against each source."""
        errors = [self.error(source, fused) for source in sources]
        return MetricValue(
            self.ratio(math.fsum(errors) / len(errors), fused), tuple(self.ratio(error, fused) for error in errors)
        )
