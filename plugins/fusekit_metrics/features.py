"""Mutual information of features in small windows: FMI."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fusekit_metrics.pairwise import PairwiseMetric

_SIDE = 3
_ROWS_AT_A_TIME = 16


class FeatureInformation(PairwiseMetric):
    """Base class of FMI, the mutual information of a feature in windows of 3 x 3 pixels.

    In each window, the nine values of the feature, stretched to [0, 1] and divided by their sum, are taken as the
    probabilities of the nine positions (equal ones if they are constant). The joint distribution is
    ``phi U + (1 - phi) p q``, where p, q are the distributions of source and fused image. U is the Frechet bound that
    orders both the same way, or the opposite way if c < 0. c is the correlation of p and q over the nine positions, and
    phi is c divided by the correlation of the positions under U (0 if one of them is undefined). phi can exceed 1;
    "probabilities" below 0 then count with the logarithm of their absolute value, as in the authors' program. The value
    is ``2 I / (H(p) + H(q))``, 1 for windows that are equal and 0 if both entropies are 0, averaged over windows and
    sources.

    Source: Haghighat, Razian, "Fast-FMI: non-reference image fusion metric", International Conference on Application of
    Information and Communication Technologies, 2014, after Haghighat, Aghagolzadeh, Seyedarabi (2011).
    """

    dialect: ClassVar[str] = "strict"
    minimum_size: ClassVar[int] = _SIDE
    over_sources: ClassVar[Literal["sum", "mean"]] = "mean"

    @abstractmethod
    def feature(self, image: Tensor) -> Tensor:
        """The feature ``(H, W)`` of a float64 image of the same size."""

    def compare(self, source: Tensor, fused: Tensor) -> float:
        """Measure the information that the features of one source and of the fused image share."""
        first, second = (self.feature(image.to(torch.float64)) for image in (source, fused))
        total = 0.0
        height, width = first.shape
        for top in range(0, height - _SIDE + 1, _ROWS_AT_A_TIME):
            rows = slice(top, min(top + _ROWS_AT_A_TIME, height - _SIDE + 1) + _SIDE - 1)
            total += float(window_information(_windows(first[rows]), _windows(second[rows])).sum())
        return total / ((height - _SIDE + 1) * (width - _SIDE + 1))


class PixelInformation(FeatureInformation):
    """FMI of pixels, the mutual information of grey levels in windows of 3 x 3, averaged over windows and sources.

    `FeatureInformation` has the definition and its source.
    """

    name: ClassVar[str] = "FMI pixel"

    def feature(self, image: Tensor) -> Tensor:
        """The grey levels."""
        return image


class GradientInformation(FeatureInformation):
    """FMI of gradients, the mutual information of ``sqrt(gx^2 + gy^2)`` in windows of 3 x 3, averaged.

    Gradients are central differences inside and one-sided at the borders; the authors' program takes gx alone.
    `FeatureInformation` has the definition and its source.
    """

    name: ClassVar[str] = "FMI gradient"

    def feature(self, image: Tensor) -> Tensor:
        """The strengths of the gradients."""
        vertical, horizontal = torch.gradient(image)
        return torch.sqrt(horizontal.square() + vertical.square())


def _windows(feature: Tensor) -> Tensor:
    """Windows as rows, ``(P, 9)``, the positions in a window column by column."""
    return feature.unfold(0, _SIDE, 1).unfold(1, _SIDE, 1).transpose(-1, -2).reshape(-1, _SIDE * _SIDE)


def window_information(first: Tensor, second: Tensor) -> Tensor:
    """``2 I / (H + H)`` of pairs of windows ``(P, 9)``, which is ``(P,)``; see `FeatureInformation`."""
    p, q = _distribution(first), _distribution(second)
    positions = torch.arange(1, p.shape[1] + 1, dtype=torch.float64, device=p.device)
    centred_p, centred_q = p - p.mean(dim=1, keepdim=True), q - q.mean(dim=1, keepdim=True)
    product = (centred_p * centred_q).sum(dim=1)
    power = (centred_p.square().sum(dim=1) * centred_q.square().sum(dim=1)).sqrt()
    correlation = torch.where(power > 0.0, product / power.clamp(min=1e-300), 0.0)

    below_p, below_q = p.cumsum(dim=1)[:, :, None], q.cumsum(dim=1)[:, None, :]
    same_way = torch.minimum(below_p, below_q)
    opposite_way = (below_p + below_q - 1.0).clamp(min=0.0)
    bound = torch.where((correlation >= 0.0)[:, None, None], same_way, opposite_way)
    spreads = _spread(p, positions) * _spread(q, positions)
    at_bound = (bound - below_p * below_q).sum(dim=(1, 2)) / spreads.clamp(min=1e-300)
    usable = (spreads > 0.0) & (at_bound.abs() > 0.0)
    share = torch.where(usable, correlation / torch.where(usable, at_bound, 1.0), 0.0)[:, None, None]

    padded = torch.nn.functional.pad(bound, (1, 0, 1, 0))
    mass = padded.diff(dim=1).diff(dim=2)
    joint = share * mass + (1.0 - share) * p[:, :, None] * q[:, None, :]
    entropies = _entropy(p) + _entropy(q)
    information = entropies - _entropy(joint.flatten(1))
    value = torch.where(entropies > 0.0, 2.0 * information / entropies.clamp(min=1e-300), 0.0)
    return torch.where((first == second).all(dim=1), 1.0, value)


def _distribution(windows: Tensor) -> Tensor:
    lowest, highest = windows.amin(dim=1, keepdim=True), windows.amax(dim=1, keepdim=True)
    flat = highest == lowest
    stretched = torch.where(flat, 1.0, (windows - lowest) / torch.where(flat, 1.0, highest - lowest))
    return stretched / stretched.sum(dim=1, keepdim=True)


def _spread(distribution: Tensor, positions: Tensor) -> Tensor:
    mean = (distribution * positions).sum(dim=1)
    return ((distribution * positions.square()).sum(dim=1) - mean.square()).clamp(min=0.0).sqrt()


def _entropy(distribution: Tensor) -> Tensor:
    magnitude = torch.where(distribution == 0.0, 1.0, distribution.abs())
    return -(distribution * torch.log2(magnitude)).sum(dim=1)
