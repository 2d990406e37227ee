"""The fusion loss: a weighted sum of named terms of image, sources and proposed weights, for every method."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.interfaces.config import ComponentRef, term_names
from fusekit.interfaces.context import BuildContext
from fusekit.interfaces.loss_term import LossTerm
from fusekit.interfaces.types import LossProposal, LossTerms, Sources


class FusionLoss:
    """The fusion loss that a strategy's ``loss`` option lists: Σ_t weight_t · term_t.

    Args:
        terms: References to loss terms.
        context: Builds them.
    """

    def __init__(self, terms: Sequence[ComponentRef], context: BuildContext) -> None:
        built: list[LossTerm] = [context.build("loss-term", term) for term in terms]
        self.terms = dict(zip(term_names(terms), built, strict=True))

    def __call__(self, image: Tensor, sources: Sources, proposal: LossProposal | None) -> LossTerms:
        """The loss of a batch.

        Args:
            image: Fused image F, (B, 1, H, W) in [0, 1].
            sources: N sources, each (B, 1, H, W) in [0, 1].
            proposal: Weights (B, N, H, W), or None in a model without a loss proposer.

        Returns:
            The total, and the unweighted terms by name.
        """
        values = {name: term(image, sources, proposal) for name, term in self.terms.items()}
        total = torch.stack([self.terms[name].config.weight * value for name, value in values.items()]).sum()
        return LossTerms(total, values)


def sobel(image: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel responses of a one-channel image along x and y, zero padding 1, each (B, 1, H, W)."""
    along_x = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    kernel = torch.stack([along_x, along_x.T])[:, None].to(image)
    response = F.conv2d(image, kernel, padding=1)
    return response[:, :1], response[:, 1:]


def gradient_strength(image: Tensor) -> Tensor:
    """S = |sobel_x| + |sobel_y| of a one-channel image, (B, 1, H, W)."""
    x, y = sobel(image)
    return x.abs() + y.abs()
