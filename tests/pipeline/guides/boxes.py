"""A detector's guidance: its surest boxes are the regions, and what moves their sureness is the attribution."""

from functools import cached_property

import torch

from fusekit.interfaces import ComponentConfig, Field, Guidance, GuidanceMaker, RegionAttribution, undisturbed
from fusekit.plugin import component, hookimpl


class BoxesConfig(ComponentConfig):
    boxes: int = Field(3, ge=1, le=100, description="boxes that are looked at, the surest ones")

    def needs(self):
        return frozenset({"task:detection"})


class Boxes(GuidanceMaker):
    Config = BoxesConfig

    def of(self, task, sources, labels=None):
        return BoxesOfBatch(task, tuple(source.detach() for source in sources), self.config.boxes)


class BoxesOfBatch(Guidance):
    def __init__(self, task, sources, count):
        self.task, self.sources, self.count = task, sources, count

    def attribution(self):
        return self._attribution

    @cached_property
    def _attribution(self):
        with undisturbed(self.task), torch.no_grad():
            found = self.task.predict(self.task(torch.stack(self.sources).mean(dim=0)))  # (B, cells, 5)
        cells = found[..., 0].topk(self.count).indices  # (B, K), the surest first
        top, left, bottom, right = found.gather(1, cells[..., None].expand(-1, -1, 5))[..., 1:, None, None].unbind(2)
        rows, columns = (torch.linspace(0, 1, side).to(found) for side in self.sources[0].shape[-2:])
        inside = (top <= rows[:, None]) & (rows[:, None] <= bottom) & (left <= columns) & (columns <= right)
        regions = torch.where(inside.any(dim=1), inside.int().argmax(dim=1), -1)  # the surest box has a pixel
        changes = [[self.task_gradient(s, cell) * s for cell in cells.split(1, dim=1)] for s in self.sources]
        flow = torch.stack([torch.cat(of_source, dim=1) for of_source in changes], dim=1).abs()  # (B, N, K, H, W)
        scores = (flow * inside[:, None]).sum(dim=(3, 4)) / inside.sum(dim=(2, 3)).clamp_min(1)[:, None]
        return RegionAttribution(scores, regions, tuple(f"box {k}" for k in range(self.count)))

    def task_gradient(self, image, cells=None):
        with undisturbed(self.task), torch.enable_grad():
            image = image.detach().requires_grad_()
            sureness = self.task(image)[:, 0].flatten(1)  # (B, cells)
            chosen = sureness.mean(dim=1) if cells is None else sureness.gather(1, cells)
            return torch.autograd.grad(chosen.sum(), image)[0]


@hookimpl
def fusekit_components():
    return [component("guidance", "local.boxes", target=f"{__name__}:Boxes", summary="A detector's surest boxes")]
