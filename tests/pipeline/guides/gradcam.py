"""Grad-CAM (Selvaraju et al., ICCV 2017) as guidance: where a classifier looks, cell by cell of its last features."""

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import nn

from fusekit.interfaces import ComponentConfig, Guidance, GuidanceMaker, RegionAttribution, undisturbed
from fusekit.plugin import component, hookimpl


class AsksAClassifier(ComponentConfig):
    def needs(self):
        return frozenset({"task:classification"})


class GradCam(GuidanceMaker):
    Config = AsksAClassifier

    def of(self, task, sources, labels=None):
        return GradCamOfBatch(task, tuple(source.detach() for source in sources))


class GradCamOfBatch(Guidance):
    def __init__(self, task, sources):
        self.task, self.sources = task, sources
        self.last = [layer for layer in task.modules() if isinstance(layer, nn.Conv2d)][-1]

    def attribution(self):
        return self._attribution

    @cached_property
    def _attribution(self):
        maps = [self._map(source) for source in self.sources]
        cells = torch.arange(maps[0][0].numel()).to(maps[0]).view_as(maps[0][:1])[None]
        regions = F.interpolate(cells, self.sources[0].shape[-2:]).long()[:, 0].expand(len(maps[0]), -1, -1)
        scores = torch.stack([values.flatten(1) for values in maps], dim=1)
        return RegionAttribution(scores, regions, tuple(f"cell {index}" for index in range(scores.shape[2])))

    def task_gradient(self, image):
        return self._differentiate(image)[0]

    def _map(self, source):
        _, gradient, features = self._differentiate(source)  # relu Σ α A of the last channels A, α mean gradients
        return (gradient.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1).relu()

    def _differentiate(self, image):
        kept = []
        hook = self.last.register_forward_hook(lambda _layer, _inputs, output: kept.append(output))
        with hook, undisturbed(self.task), torch.enable_grad():
            image = image.detach().requires_grad_()
            likeliest = self.task(image).amax(dim=1).sum()
            return *torch.autograd.grad(likeliest, (image, *kept)), kept[0].detach()


@hookimpl
def fusekit_components():
    return [component("guidance", "local.gradcam", target=f"{__name__}:GradCam", summary="Where a classifier looks")]
