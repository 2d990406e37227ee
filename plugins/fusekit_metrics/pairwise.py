"""Base class of metrics that compare the fused image with one source at a time."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue


class PairwiseMetric(Metric):
    """A sum or a mean over the sources of a comparison of the fused image with each of them.

    Attributes:
        over_sources: Whether the value is the sum or the mean over the sources. It is NaN if one of them is NaN.
    """

    over_sources: ClassVar[Literal["sum", "mean"]] = "sum"

    @abstractmethod
    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Compare the fused image with one source.

        Args:
            source: ``(H, W)`` uint8 grey image.
            fused: Of the same size and type.

        Returns:
            The value for this source; NaN if it is undefined.
        """

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the comparison with every source, and its sum or mean."""
        values = tuple(self.compare(source, fused) for source in sources)
        total = math.fsum(values)
        return MetricValue(total if self.over_sources == "sum" else total / len(values), values)
