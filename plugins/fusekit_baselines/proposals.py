"""Fixed loss proposers, baselines for learned and attributed ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.interfaces import Guidance, LossProposal, LossProposer, Sources
from fusekit.training.fusion_loss import sobel
from fusekit_baselines.config import NoOptions, SharpestConfig, WellExposedConfig


class EqualProposer(LossProposer):
    """w_k = 1 / N everywhere."""

    Config = NoOptions

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> LossProposal:
        images = torch.cat([s.mean(dim=1, keepdim=True) for s in sources], dim=1)
        return LossProposal(torch.full_like(images, 1.0 / len(sources)))


class BrightestProposer(LossProposer):
    """w_k = 1 where source k is the brightest, 0 elsewhere; of equally bright sources the first is chosen."""

    Config = NoOptions

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> LossProposal:
        images = torch.cat([s.mean(dim=1, keepdim=True) for s in sources], dim=1)
        chosen = F.one_hot(images.argmax(dim=1), len(sources))
        return LossProposal(chosen.permute(0, 3, 1, 2).to(images.dtype))


class SharpestProposer(LossProposer):
    """w_k = s_k^p / Σ_j s_j^p, where s_k is the local energy of source k's gradients: for pairs of different focus.

    The energy is the mean of squared Sobel responses over a Gaussian window. Where no source has any gradient, the
    weights are equal.
    """

    Config = SharpestConfig
    config: SharpestConfig

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> LossProposal:
        energies = []
        for source in sources:
            padded = F.pad(source.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
            x, y = (response[..., 1:-1, 1:-1] for response in sobel(padded))
            energies.append(x.square() + y.square())
        local = _blurred(torch.cat(energies, dim=1), self.config.window)
        return LossProposal((self.config.power * torch.log(local + 1e-8)).softmax(dim=1))


class WellExposedProposer(LossProposer):
    """w_k ∝ c_k e_k, as in exposure fusion: for pairs of different exposure.

    Contrast c_k is the absolute Laplacian; exposure is ``e_k = exp(-(I_k - .5)² / (2 σ²))``. Both are averaged over a
    Gaussian window, so that the weights have no seams. The saturation of colours, the third measure of the paper, is
    missing: sources of the fusion loss are luminance.

    Source: Mertens, Kautz, Van Reeth, "Exposure Fusion", Pacific Graphics 2007.
    """

    Config = WellExposedConfig
    config: WellExposedConfig

    def forward(self, sources: Sources, *, guidance: Guidance | None = None) -> LossProposal:
        images = torch.cat([s.mean(dim=1, keepdim=True) for s in sources], dim=1)
        kernel = images.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
        padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
        contrast = F.conv2d(padded, kernel.expand(len(sources), 1, 3, 3), groups=len(sources)).abs()
        exposure = torch.exp(-(images - 0.5).square() / (2.0 * self.config.sigma**2))
        quality = _blurred(contrast, self.config.window) ** self.config.contrast
        quality = quality * _blurred(exposure, self.config.window) + 1e-8
        return LossProposal(quality / quality.sum(dim=1, keepdim=True))


def _blurred(images: Tensor, sigma: float) -> Tensor:
    """Every channel of (B, N, H, W) under a Gaussian window of standard deviation `sigma` pixels."""
    radius = max(1, round(3.0 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-offsets.square() / (2.0 * sigma**2))
    weights, channels = weights / weights.sum(), images.shape[1]
    padded = F.pad(images, (radius, radius, radius, radius), mode="replicate")
    rows = F.conv2d(padded, weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(rows, weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
