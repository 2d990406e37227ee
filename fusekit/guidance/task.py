"""Guidance by a task network, computed once per batch, without a trace on the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from fusekit.guidance.region import region_attribution
from fusekit.guidance.straight import StraightPath
from fusekit.interfaces.guidance import Guidance, RegionAttribution
from fusekit.interfaces.pathway import Pathway
from fusekit.interfaces.task import SegmentationNetwork
from fusekit.interfaces.types import Sources


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Evaluation mode and frozen weights inside; mode and flags are put back, whatever happens.

    In evaluation mode batch normalisation neither couples the images nor moves its statistics.
    """
    modes = [(module, module.training) for module in network.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    network.eval()
    network.requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


class TaskGuidance(Guidance):
    """What a segmentation network says about the sources of one batch.

    Args:
        task: The network; left as it is found.
        sources: N images, each (B, C, H, W) in [0, 1].
        labels: Class maps (B, H, W) int64, which then define the regions; None takes the network's own
            prediction on the mean of the sources.
        pathway: Along which images the sources are attributed; a straight line from zero when None.
        scope: Class means over each image, or over the whole batch as UAAFusion's released code does.
        megapixels: Most pixels pushed through the network at once for the attribution, in millions.
    """

    def __init__(
        self,
        task: SegmentationNetwork,
        sources: Sources,
        labels: Tensor | None = None,
        *,
        pathway: Pathway | None = None,
        scope: Literal["image", "batch"] = "image",
        megapixels: float = 1.0,
    ) -> None:
        self.task = task
        self.sources = tuple(source.detach() for source in sources)
        self.labels = labels
        self.pathway = pathway or StraightPath()
        self.scope = scope
        self.megapixels = megapixels
        self._start_output: Tensor | None = None
        self._attribution: RegionAttribution | None = None

    def attribution(self) -> RegionAttribution:
        """Region attribution of each source; computed on the first call."""
        if self._attribution is None:
            regions = self.labels if self.labels is not None else self._output_on_start().argmax(dim=1)
            with undisturbed(self.task):
                self._attribution = region_attribution(
                    self.task,
                    self.pathway.paths(self.sources),
                    regions,
                    scope=self.scope,
                    megapixels=self.megapixels,
                )
        return self._attribution

    def task_gradient(self, image: Tensor) -> Tensor:
        """∂ mean(mask · seg(f)) / ∂f, the mean taken per image (over the whole batch in scope ``batch``)."""
        mask = self._mask()
        with undisturbed(self.task), torch.enable_grad():
            f = image.detach().requires_grad_()
            weighted = mask * self.task(f)
            score = weighted.mean() if self.scope == "batch" else weighted.mean(dim=(1, 2, 3)).sum()
            (gradient,) = torch.autograd.grad(score, f)
        return gradient

    def _mask(self) -> Tensor:
        """One-hot label (B, K, H, W), or the network's own output on f_0."""
        if self.labels is None:
            return self._output_on_start()
        classes = torch.arange(len(self.task.classes), device=self.labels.device)
        return (self.labels[:, None] == classes[None, :, None, None]).to(self.sources[0].dtype)

    def _output_on_start(self) -> Tensor:
        """The network's output on f_0, the mean of the sources; computed once."""
        if self._start_output is None:
            with undisturbed(self.task), torch.no_grad():
                self._start_output = self.task(torch.stack(self.sources).mean(dim=0))
        return self._start_output
