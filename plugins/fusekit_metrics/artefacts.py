"""The metric of artefacts: Nabf."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fusekit.interfaces.metric import Metric, MetricValue, shared
from fusekit_metrics.filtering import sobel


class FusionArtefacts(Metric):
    """Nabf, the weighted share of edges in the fused image that no source has; lower is better.

    ``sum n sum_i (1 - Q_i) w_i / sum sum_i w_i``, where n is 1 at pixels whose edge strength exceeds that of every
    source, else 0. With Sobel responses divided by 8 on a mirrored border (without repeating the border pixel):
    ``Q_i = sqrt(.9999 / (1 + exp(-19 (G - .5))) * .9995 / (1 + exp(-22 (D - .5))))``, ``G = min(g_i, g_F) /
    max(g_i, g_F)``, 0 if one of them is 0, ``D = ||a_i - a_F| - pi/2| 2/pi`` (the difference of angles is wrapped), and
    ``w_i = g_i^1.5`` where ``g_i >= 2``, else .001.

    NaN if a side is shorter than 2 pixels. ``per_source`` contains ``sum n (1 - Q_i) w_i / sum w_i``.

    Source: Shreyamsha Kumar, "Multifocus and multispectral image fusion based on pixel significance using discrete
    cosine harmonic wavelet transform", Signal, Image and Video Processing 7 (6), 2013, after Petrovic, Xydeas (2005).
    """

    name: ClassVar[str] = "Nabf"
    dialect: ClassVar[str] = "strict"
    higher_is_better: ClassVar[bool] = False
    minimum_size: ClassVar[int] = 2

    smallest_weight: ClassVar[float] = 0.001

    def measure(self, fused: Tensor, sources: Sequence[Tensor]) -> MetricValue:
        """Measure the artefacts against all sources."""
        edges = [_strength_and_angle(image) for image in sources]
        strength, angle = _strength_and_angle(fused)
        added = torch.stack([strength > of_source for of_source, _ in edges]).all(dim=0)
        parts: list[float] = []
        weights: list[float] = []
        for of_source, source_angle in edges:
            weaker, stronger = torch.minimum(of_source, strength), torch.maximum(of_source, strength)
            ratio = weaker / torch.where(stronger == 0.0, torch.ones_like(stronger), stronger)
            turn = ((source_angle - angle).abs() - math.pi / 2.0).abs() * (2.0 / math.pi)
            kept = 0.9999 * torch.sigmoid(19.0 * (ratio - 0.5)) * 0.9995 * torch.sigmoid(22.0 * (turn - 0.5))
            weight = torch.where(of_source >= 2.0, of_source.pow(1.5), self.smallest_weight)
            parts.append(float((added * (1.0 - kept.sqrt()) * weight).sum()))
            weights.append(float(weight.sum()))
        total = sum(weights)
        return MetricValue(
            sum(parts) / total if total > 0.0 else math.nan,
            tuple(part / weight if weight > 0.0 else math.nan for part, weight in zip(parts, weights, strict=True)),
        )


@shared
def _strength_and_angle(image: Tensor) -> tuple[Tensor, Tensor]:
    across, down = (response / 8.0 for response in sobel(image, border="reflect"))
    # The angle is measured from the vertical axis; it is 0 where there is no edge.
    angle = torch.atan(across / torch.where(down == 0.0, torch.ones_like(down), down))
    upright = torch.where(across == 0.0, 0.0, math.pi / 2.0) * torch.sign(across)
    return torch.sqrt(across.square() + down.square()), torch.where(down == 0.0, upright, angle)
