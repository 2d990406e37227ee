"""Mutual information of features in small windows: FMI."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from fusekit_metrics.filtering import levels
from fusekit_metrics.pairwise import PairwiseMetric

_SIDE = 3
_WINDOWS_AT_A_TIME = 2560  # on a CPU: a row of their 9 x 9 joint distributions stays in the cache


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
        features = [self.feature(levels(image)) for image in (source, fused)]
        rows, columns = (side - _SIDE + 1 for side in source.shape)
        step = max(1, _WINDOWS_AT_A_TIME // columns) if source.device.type == "cpu" else rows
        total = 0.0
        for top in range(0, rows, step):
            band = slice(top, min(top + step, rows) + _SIDE - 1)
            total += float(window_information(*(_windows(feature[band]) for feature in features)).sum())
        return total / (rows * columns)


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
    """The windows of a feature, ``(9, P)``, the positions in a window column by column."""
    return feature.unfold(0, _SIDE, 1).unfold(1, _SIDE, 1).permute(3, 2, 0, 1).reshape(_SIDE * _SIDE, -1)


def window_information(first: Tensor, second: Tensor) -> Tensor:
    """``2 I / (H + H)`` of pairs of windows ``(9, P)``, which is ``(P,)``; see `FeatureInformation`."""
    p, q = _distribution(first), _distribution(second)
    centred_p, centred_q = p - p.mean(dim=0), q - q.mean(dim=0)
    product = (centred_p * centred_q).sum(dim=0)
    power = (centred_p.square().sum(dim=0) * centred_q.square().sum(dim=0)).sqrt()
    correlation = torch.where(power > 0.0, product / power.clamp(min=1e-300), 0.0)

    # With the cumulative probabilities P and Q, the bound is min(P, Q) for the same order, and for the opposite one
    # max(P + Q - 1, 0) = P - min(P, 1 - Q). The mass of a cell is a difference of minima, with the sign of the order.
    sign = torch.where(correlation >= 0.0, 1.0, -1.0)
    zero = torch.zeros_like(p[:1])
    below_p, below_q = torch.cat((zero, p.cumsum(dim=0))), torch.cat((zero, q.cumsum(dim=0)))
    ordered_q = torch.where(sign > 0.0, below_q, 1.0 - below_q)
    sum_p, sum_q = below_p.sum(dim=0), below_q.sum(dim=0)
    minima = torch.stack([_sum(torch.minimum(below, ordered_q)) for below in below_p]).sum(dim=0)
    bound = sign * minima + torch.where(sign > 0.0, 0.0, len(below_p) * sum_p)
    spreads = _spread(p) * _spread(q)
    at_bound = (bound - sum_p * sum_q) / spreads.clamp(min=1e-300)
    usable = (spreads > 0.0) & (at_bound.abs() > 0.0)
    share = torch.where(usable, correlation / torch.where(usable, at_bound, 1.0), 0.0)

    entropies = _entropy(p) + _entropy(q)
    # Row by row of the joint distribution, which is not kept.
    information, before = entropies.clone(), torch.zeros_like(below_q)
    of_bound, of_product = share * sign, p * (1.0 - share)
    for below, row in zip(below_p[1:], of_product, strict=True):
        smaller = torch.minimum(below, ordered_q)
        steps = smaller - before
        information -= _entropy((steps[1:] - steps[:-1]).mul_(of_bound).addcmul_(row, q))
        before = smaller
    value = torch.where(entropies > 0.0, 2.0 * information / entropies.clamp(min=1e-300), 0.0)
    return torch.where((first == second).all(dim=0), 1.0, value)


def _distribution(windows: Tensor) -> Tensor:
    lowest, highest = windows.amin(dim=0), windows.amax(dim=0)
    flat = highest == lowest
    stretched = torch.where(flat, 1.0, (windows - lowest) / torch.where(flat, 1.0, highest - lowest))
    return stretched / stretched.sum(dim=0)


def _spread(distribution: Tensor) -> Tensor:
    positions = torch.arange(1, len(distribution) + 1, dtype=torch.float64, device=distribution.device)
    mean = positions @ distribution
    return (positions.square() @ distribution - mean.square()).clamp(min=0.0).sqrt()


def _entropy(distribution: Tensor) -> Tensor:
    # 1e-300 does not change any magnitude but 0, for which the product with the logarithm is then 0.
    return -_sum(distribution.abs().add_(1e-300).log2_().mul_(distribution))


def _sum(values: Tensor) -> Tensor:
    """Sum of ``(N, P)`` over N, as a product of matrices: ``torch.sum`` is slow along the first of two dimensions."""
    return values.new_ones(len(values)) @ values
