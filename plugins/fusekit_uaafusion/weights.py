"""Attribution weights: the share of each source, from how much its regions contribute."""

from __future__ import annotations

from torch import Tensor

from fusekit.interfaces import Guidance

EPSILON = 1e-8


def attribution_weights(guidance: Guidance, epsilon: float = EPSILON) -> Tensor:
    """w_i = (A_i + ε) / Σ_k (A_k + ε), (B, N, H, W); equal where no region contributes."""
    attribution = guidance.attribution().total() + epsilon
    return attribution / attribution.sum(dim=1, keepdim=True)
