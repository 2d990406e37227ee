"""Metrics of information theory: EN, MI, NMI and CE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue, shared
from fusekit_metrics.pairwise import PairwiseMetric

_LEVELS = 256


def _entropy_of_counts(counts: Tensor) -> float:
    """Entropy in bits of the distribution that a histogram of counts describes."""
    occupied = counts[counts > 0].to(torch.float64)
    share = occupied / occupied.sum()
    # Adding 0.0 converts the -0.0 of a single occupied bin to 0.0.
    return float(-(share * torch.log2(share)).sum()) + 0.0


@shared
def histogram(image: Tensor) -> Tensor:
    """How often each of the 256 grey levels occurs in a ``(H, W)`` uint8 image."""
    return torch.bincount(image.flatten(), minlength=_LEVELS)


@shared
def entropy(image: Tensor) -> float:
    """Shannon entropy, in bits, of the grey levels of a ``(H, W)`` uint8 image."""
    return _entropy_of_counts(histogram(image))


@shared
def joint_entropy(first: Tensor, second: Tensor) -> float:
    """Shannon entropy, in bits, of the pairs of grey levels of two ``(H, W)`` uint8 images."""
    pairs = first.flatten().to(torch.int32).mul_(_LEVELS).add_(second.flatten())
    return _entropy_of_counts(torch.bincount(pairs, minlength=_LEVELS * _LEVELS))


def mutual_information(first: Tensor, second: Tensor) -> float:
    """Mutual information, in bits, of two ``(H, W)`` uint8 images, from their joint 256 x 256 histogram.

    It is ``sum p_xy log2(p_xy / (p_x p_y))``, computed as ``H(X) + H(Y) - H(X, Y)``, which needs no division by the
    marginals.
    """
    return max(entropy(first) + entropy(second) - joint_entropy(first, second), 0.0)


class Entropy(Metric):
    """EN, the entropy of the fused image: ``-sum p log2 p`` over its occupied grey levels, at most 8 bits.

    Source: Roberts, van Aardt, Ahmed, "Assessment of image fusion procedures using entropy, image quality,
    and multispectral classification", Journal of Applied Remote Sensing 2, 2008.
    """

    name: ClassVar[str] = "EN"
    dialect: ClassVar[str] = "strict"
    unit: ClassVar[str] = "bits"

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the fused image; the sources are not used."""
        return MetricValue(entropy(fused))


class MutualInformation(PairwiseMetric):
    """MI, the mutual information of the fused image and its sources: ``sum_i I(S_i; F)``, in bits.

    A copy of source i scores ``H(S_i)`` for that source, so the sum rewards copying: see also ``per_source``.

    Source: Qu, Zhang, Yan, "Information measure for performance of image fusion", Electronics Letters 38 (7),
    2002. Many evaluation tools use natural logarithms; their values are 0.6931 times these.
    """

    name: ClassVar[str] = "MI"
    dialect: ClassVar[str] = "strict"
    unit: ClassVar[str] = "bits"

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the mutual information with one source."""
        return mutual_information(source, fused)


class NormalisedMutualInformation(PairwiseMetric):
    """NMI, the mutual information with each source relative to the entropies: ``sum_i 2 I(S_i; F) / (H(S_i) + H(F))``.

    It does not depend on the base of the logarithm, and is at most 1 per source, so at most 2 for a pair. NaN if the
    fused image and a source are both constant.

    Source: Hossny, Nahavandi, Creighton, "Comments on 'Information measure for performance of image fusion'",
    Electronics Letters 44 (18), 2008.
    """

    name: ClassVar[str] = "NMI"
    dialect: ClassVar[str] = "strict"

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the normalised mutual information with one source."""
        available = entropy(source) + entropy(fused)
        return 2.0 * mutual_information(source, fused) / available if available > 0.0 else math.nan


class CrossEntropy(PairwiseMetric):
    """CE, the mean over the sources of ``sum p_S log2(p_S / p_F)``, in bits; lower is better.

    p are the shares of the 256 grey levels. Only levels that occur in both images are summed, so the value is not a
    Kullback-Leibler divergence and can be negative. NaN if an image pair has no level in common.

    Source: Bulanon, Burks, Alchanatis, "Image fusion of visible and thermal images for fruit detection", Biosystems
    Engineering 103 (1), 2009.
    """

    name: ClassVar[str] = "CE"
    dialect: ClassVar[str] = "strict"
    higher_is_better: ClassVar[bool] = False
    unit: ClassVar[str] = "bits"
    over_sources: ClassVar[Literal["sum", "mean"]] = "mean"

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the cross entropy of one source and the fused image."""
        counts = [histogram(image).double() for image in (source, fused)]
        common = (counts[0] > 0) & (counts[1] > 0)
        if not bool(common.any()):
            return math.nan
        of_source, of_fused = (count[common] / fused.numel() for count in counts)
        return float((of_source * torch.log2(of_source / of_fused)).sum())
