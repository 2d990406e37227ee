"""Structure terms: SSIM, a VIF-like fidelity, and the correlation of differences.

These are metrics in a differentiable form. A table that shows the metric marks what was trained for it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fusekit.interfaces import LossProposal, LossTerm, Sources
from fusekit_losses.config import ScdConfig, SsimConfig, VifConfig


class Dissimilarity(LossTerm):
    """Σ_k (1 - SSIM(F, I_k)), with the window and constants of Wang et al.

    Gaussian window of 11 x 11 pixels with sigma 1.5 where it lies inside the image, ``C1 = .01²``, ``C2 = .03²`` for
    images in [0, 1]. Images whose shorter side is below 11 pixels are not supported.

    Source: Wang, Bovik, Sheikh, Simoncelli, IEEE Transactions on Image Processing 13 (4), 2004.
    """

    Config = SsimConfig
    config: SsimConfig

    def __call__(self, image: Tensor, sources: Sources, proposal: LossProposal | None) -> Tensor:
        return torch.stack([1.0 - _ssim(image, source) for source in sources]).sum()


class LostInformation(LossTerm):
    """Σ_k (1 - VIF'(I_k, F)), where VIF' is the pixel-domain VIF with box windows on average-pooled scales.

    Per source, ``VIF' = Σ log(1 + g² s1² / (sv + n)) / Σ log(1 + s1² / n)`` over all windows and scales of a batch,
    with ``g = s12 / (s1² + ε)``, not below 0, ``sv = s2² - g s12``, not below ε, and ``n = 2 / 255²``. The metric
    ``strict.vif`` has gaussian windows that shrink from 17 to 3 pixels; what it values is the same. The sums are over
    the batch, because contrast that a fused image adds to a nearly flat crop would dominate a mean of ratios.

    Source: after Sheikh, Bovik, IEEE Transactions on Image Processing 15 (2), 2006.
    """

    Config = VifConfig
    config: VifConfig

    def __call__(self, image: Tensor, sources: Sources, proposal: LossProposal | None) -> Tensor:
        return torch.stack([1.0 - self._fidelity(source, image) for source in sources]).sum()

    def _fidelity(self, source: Tensor, image: Tensor) -> Tensor:
        """VIF' of a batch."""
        noise, epsilon = 2.0 / 255.0**2, 1e-10
        kept, available = image.new_zeros(()), image.new_zeros(())
        for scale in range(self.config.scales):
            if scale:
                source, image = F.avg_pool2d(source, 2), F.avg_pool2d(image, 2)
            if min(image.shape[-2:]) < self.config.window:
                break
            moments = torch.cat((source, image, source * source, image * image, source * image), dim=1)
            means = F.avg_pool2d(moments, self.config.window, stride=1).split(1, dim=1)
            variance_1 = (means[2] - means[0].square()).clamp(min=0.0)
            variance_2 = (means[3] - means[1].square()).clamp(min=0.0)
            covariance = means[4] - means[0] * means[1]
            gain = (covariance / (variance_1 + epsilon)).clamp(min=0.0)
            residue = (variance_2 - gain * covariance).clamp(min=epsilon)
            kept = kept + torch.log1p(gain.square() * variance_1 / (residue + noise)).sum()
            available = available + torch.log1p(variance_1 / noise).sum()
        return kept / (available + epsilon)


class LostDifferences(LossTerm):
    """N - SCD, where SCD = Σ_k corr(I_k, F - mean of the other sources), image by image.

    For two sources, these are the published correlations of ``F - I_2`` with I_1 and of ``F - I_1`` with I_2.

    Source: Aslantas, Bendes, "A new image quality metric for image fusion: the sum of the correlations of
    differences", AEU 69 (12), 2015.
    """

    Config = ScdConfig
    config: ScdConfig

    def __call__(self, image: Tensor, sources: Sources, proposal: LossProposal | None) -> Tensor:
        total, count = torch.stack(sources).sum(dim=0), len(sources)
        correlations = [_correlation(source, image - (total - source) / max(1, count - 1)).mean() for source in sources]
        return count - torch.stack(correlations).sum()


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation of the pixels of each image of two batches, (B,)."""
    first = first - first.mean(dim=(1, 2, 3), keepdim=True)
    second = second - second.mean(dim=(1, 2, 3), keepdim=True)
    norm = first.square().sum(dim=(1, 2, 3)) * second.square().sum(dim=(1, 2, 3))
    return (first * second).sum(dim=(1, 2, 3)) / torch.sqrt(norm + 1e-12)


def _ssim(first: Tensor, second: Tensor) -> Tensor:
    """Mean SSIM of two batches of one-channel images."""
    offsets = torch.arange(11, dtype=first.dtype, device=first.device) - 5.0
    weights = torch.exp(-offsets.square() / (2.0 * 1.5**2))
    weights = weights / weights.sum()
    moments = torch.cat((first, second, first * first, second * second, first * second))
    blurred = F.conv2d(F.conv2d(moments, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))
    mean_1, mean_2, square_1, square_2, product = blurred.chunk(5)
    variance_1, variance_2 = square_1 - mean_1.square(), square_2 - mean_2.square()
    covariance = product - mean_1 * mean_2
    luminance = (2.0 * mean_1 * mean_2 + 0.01**2) / (mean_1.square() + mean_2.square() + 0.01**2)
    structure = (2.0 * covariance + 0.03**2) / (variance_1 + variance_2 + 0.03**2)
    return (luminance * structure).mean()
