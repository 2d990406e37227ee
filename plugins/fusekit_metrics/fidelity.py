"""The fusion index of visual information fidelity of 2013: VIFF."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue
from fusekit_metrics.structure import Information, information, sum_of_log1p, vif_scales

_WEIGHTS = (1.0 / 2.15, 0.0, 0.15 / 2.15, 1.0 / 2.15)
_NOISE = 0.005 * 255.0**2


class FusionFidelity(Metric):
    """VIFF, the visual information of one source per position that the fused image keeps.

    At each position of each of the four scales of VIF, the source with the smallest gain g is taken, the last one at
    equal gains. The value is the mean over the scales, with the weights (1, 0, .15, 1) / 2.15, of the sum of
    ``log10(1 + g^2 s1^2 / (sv + n)) + 1e-7`` divided by the sum of ``log10(1 + s1^2 / n) + 1e-7``, with
    ``n = .005 * 255^2``. What most papers call VIFF is the sum of VIF over the sources instead (`strict.vif`).

    NaN if all sources are constant, or if a side is shorter than 41 pixels. ``per_source`` contains the value for each
    source alone.

    Source: Han, Cai, Cao, Xu, "A new image fusion performance metric based on visual information fidelity", Information
    Fusion 14 (2), 2013.
    """

    name: ClassVar[str] = "VIFF"
    dialect: ClassVar[str] = "strict"
    minimum_size: ClassVar[int] = 41

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the fidelity to the sources, and to each of them alone."""
        value = 0.0
        alone = [0.0] * len(sources)
        scales = zip(*map(vif_scales, sources), vif_scales(fused), strict=True)
        for weight, (*of_sources, of_fused) in zip(_WEIGHTS, scales, strict=True):
            if weight == 0.0:
                continue
            terms = [information(of_source, of_fused, noise=_NOISE) for of_source in of_sources]
            value += weight * _ratio(_smallest_gain(terms))
            alone = [so_far + weight * _ratio(term) for so_far, term in zip(alone, terms, strict=True)]
        flat = [all(not bool(scale.variance.any()) for scale in vif_scales(source)) for source in sources]
        per_source = tuple(math.nan if constant else one for constant, one in zip(flat, alone, strict=True))
        return MetricValue(math.nan if all(flat) else value, per_source)


def _smallest_gain(terms: Sequence[Information]) -> Information:
    """At each position, the terms of the source with the smallest gain, the last one at equal gains."""
    chosen = terms[-1]
    for other in reversed(terms[:-1]):
        smaller = other.gain < chosen.gain
        chosen = Information(
            torch.where(smaller, other.preserved, chosen.preserved),
            torch.where(smaller, other.variance, chosen.variance),
            torch.where(smaller, other.gain, chosen.gain),
        )
    return chosen


def _ratio(terms: Information) -> float:
    constant = terms.gain.numel() * 1e-7 * math.log(10.0)  # the constant is for logarithms to the base 10
    return (sum_of_log1p(terms.preserved) + constant) / (sum_of_log1p(terms.variance / _NOISE) + constant)
