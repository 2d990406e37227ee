"""Gradient terms: which edges of the sources the fused image has."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.interfaces import LossProposal, LossTerm, Sources
from fusekit.training.fusion_loss import gradient_strength, sobel
from fusekit_losses.config import EdgesConfig, GradientConfig


class StrongestGradient(LossTerm):
    """L_grad = mean|S(F) - max_k S(I_k)|, or the same of signed gradients.

    Form ``strength`` (ReFusion, UAAFusion): S = |sobel_x| + |sobel_y|. Form ``signed`` (TDFusion): per axis, against
    the signed response of whichever source has the larger magnitude, the means of both axes added. A `gain` other
    than 1 and the norm ``l2`` are ours.
    """

    Config = GradientConfig
    config: GradientConfig

    def __call__(self, image: Tensor, sources: Sources, proposal: LossProposal | None) -> Tensor:
        if self.config.form == "strength":
            strongest = torch.stack([gradient_strength(source) for source in sources]).amax(dim=0)
            return self._size(gradient_strength(image) - self._target(strongest))
        responses = [sobel(source) for source in sources]
        per_axis = [
            self._size(mine - self._target(_of_larger_magnitude([response[axis] for response in responses])))
            for axis, mine in enumerate(sobel(image))
        ]
        return torch.stack(per_axis).sum()

    def _target(self, strongest: Tensor) -> Tensor:
        return strongest if self.config.gain == 1.0 else self.config.gain * strongest

    def _size(self, difference: Tensor) -> Tensor:
        return difference.square().mean() if self.config.norm == "l2" else difference.abs().mean()


class EdgeTransfer(LossTerm):
    """1 - Qabf, with Qabf's strength and orientation in a form whose gradient exists everywhere.

    Per pixel, with the Sobel vectors g_k of a source and g_F of the fused image on a replicated border:
    ``Q_k = .9994 σ(15 (G - .5)) · .9879 σ(22 (D - .8))``, where ``G = min(|g_k|, |g_F|) / max(|g_k|, |g_F|)`` and
    ``D = 1 - |angle between the lines along g_k and g_F| / (π/2)``; the term is ``1 - Σ_k Σ Q_k |g_k| / Σ_k Σ |g_k|``,
    image by image. Unlike the published metric, angles wrap, since a line has no direction; strengths have
    ``ε = 1e-6`` added under the root and in the quotient.

    Source: Xydeas, Petrovic, "Objective image fusion performance measure", Electronics Letters 36 (4), 2000. The
    metric itself is ``strict.qabf``.
    """

    Config = EdgesConfig
    config: EdgesConfig

    def __call__(self, image: Tensor, sources: Sources, proposal: LossProposal | None) -> Tensor:
        fused = _edges(image)
        kept = torch.zeros_like(image[:, 0, 0, 0])
        strength = torch.zeros_like(kept)
        for source in sources:
            edges = _edges(source)
            kept = kept + (_preserved(edges, fused) * edges[2]).sum(dim=(1, 2, 3))
            strength = strength + edges[2].sum(dim=(1, 2, 3))
        return (1.0 - kept / strength).mean()


def _of_larger_magnitude(responses: list[Tensor]) -> Tensor:
    stacked = torch.stack(responses)
    return stacked.gather(0, stacked.abs().argmax(dim=0, keepdim=True))[0]


def _edges(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sobel responses along x and y on a replicated border, and their length."""
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    x, y = (response[..., 1:-1, 1:-1] for response in sobel(padded))
    return x, y, torch.sqrt(x.square() + y.square() + 1e-12)


def _preserved(source: tuple[Tensor, Tensor, Tensor], fused: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Q_k of every pixel."""
    (x, y, strength), (fused_x, fused_y, fused_strength) = source, fused
    similarity = torch.minimum(strength, fused_strength) / torch.maximum(strength, fused_strength)
    # The angle between two lines from sine and cosine: atan2 has a gradient where atan(y / x) has a pole.
    sine, cosine = (x * fused_y - y * fused_x).abs(), (x * fused_x + y * fused_y).abs()
    angle = torch.atan2(sine + 1e-12, cosine + 1e-12)
    direction = 1.0 - angle / (torch.pi / 2.0)
    return 0.9994 * torch.sigmoid(15.0 * (similarity - 0.5)) * 0.9879 * torch.sigmoid(22.0 * (direction - 0.8))
