"""The fusion loss: one function of image, sources and proposed weights, shared by all methods."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.interfaces.types import LossProposal, LossTerms, Sources


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


def fusion_loss(
    image: Tensor,
    sources: Sources,
    proposal: LossProposal,
    *,
    intensity: float = 1.0,
    gradient: float = 1.0,
    form: Literal["strength", "signed"] = "strength",
) -> LossTerms:
    """L_f = λ_int · L_int + λ_grad · L_grad.

    L_int = Σ_k mean((w_k · (I_k - F))²), the weight inside the square.
    L_grad = mean|S(F) - max_k S(I_k)| (form ``strength``: ReFusion, UAAFusion), or per axis against the signed
    response of whichever source has the larger magnitude, both means added (form ``signed``: TDFusion).

    Args:
        image: Fused image F, (B, 1, H, W) in [0, 1].
        sources: N sources, each (B, 1, H, W) in [0, 1].
        proposal: Weights (B, N, H, W).
        intensity: λ_int.
        gradient: λ_grad.
        form: How gradients are compared: ``strength`` or ``signed``.

    Returns:
        The total, and the unweighted terms ``intensity`` and ``gradient``.
    """
    weights = proposal.weights.split(1, dim=1)
    l_int = torch.stack(
        [(w * (source - image)).square().mean() for w, source in zip(weights, sources, strict=True)]
    ).sum()
    if form == "strength":
        strongest = torch.stack([gradient_strength(s) for s in sources]).amax(dim=0)
        l_grad = (gradient_strength(image) - strongest).abs().mean()
    else:
        responses = [sobel(s) for s in sources]
        per_axis = [
            (mine - _of_larger_magnitude([r[axis] for r in responses])).abs().mean()
            for axis, mine in enumerate(sobel(image))
        ]
        l_grad = torch.stack(per_axis).sum()
    return LossTerms(intensity * l_int + gradient * l_grad, {"intensity": l_int, "gradient": l_grad})


def _of_larger_magnitude(responses: list[Tensor]) -> Tensor:
    stacked = torch.stack(responses)
    return stacked.gather(0, stacked.abs().argmax(dim=0, keepdim=True))[0]
