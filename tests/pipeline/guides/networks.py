"""A classifier and a detector to ask: small, and trainable on label maps."""

import torch
import torch.nn.functional as F
from torch import nn

from fusekit.interfaces import ComponentConfig, TaskNetwork
from fusekit.plugin import component, hookimpl


class Classifies(ComponentConfig):
    def solves(self):
        return frozenset({"classification"})


class Detects(ComponentConfig):
    def solves(self):
        return frozenset({"detection"})


def features():
    """A cell of features for every 4 pixels."""
    return nn.Sequential(*(m for c in (1, 8) for m in (nn.Conv2d(c, 8, 3, stride=2, padding=1), nn.Tanh())))


class Shown(TaskNetwork):
    """Which classes an image shows."""

    Config = Classifies

    def __init__(self, config=None, context=None):
        super().__init__(config, context)
        self.features, self.scores = features(), nn.Linear(8, len(context.classes))

    def forward(self, image):
        return self.scores(self.features(image.mean(dim=1, keepdim=True)).mean(dim=(2, 3)))

    def loss(self, logits, target):
        count = logits.shape[1]
        shown = torch.stack([(target == c).flatten(1).any(dim=1) for c in range(count)], dim=1)
        return F.binary_cross_entropy_with_logits(logits, shown.to(logits))

    def predict(self, logits):
        return logits > 0


class Detector(TaskNetwork):
    """Sureness, centre and size of a box in every cell, (B, 5, h, w), of things that are not of class 0."""

    Config = Detects

    def __init__(self, config=None, context=None):
        super().__init__(config, context)
        self.features, self.head = features(), nn.Conv2d(8, 5, 3, padding=1)

    def forward(self, image):
        return self.head(self.features(image.mean(dim=1, keepdim=True)))

    def loss(self, logits, target):
        thing = ((target > 0) & (target < 255))[:, None].to(logits)
        return F.binary_cross_entropy_with_logits(logits[:, :1], F.adaptive_max_pool2d(thing, logits.shape[-2:]))

    def predict(self, logits):
        """Sureness, top, left, bottom, right of the box of every cell, (B, cells, 5), as shares of the image."""
        rows, columns = (torch.linspace(0, 1, side).to(logits) for side in logits.shape[-2:])
        sure, y, x, height, width = logits.sigmoid().unbind(dim=1)
        y, x = rows[:, None] + (y - 0.5) / len(rows), columns + (x - 0.5) / len(columns)
        sides = (sure, y - height / 2, x - width / 2, y + height / 2, x + width / 2)
        return torch.stack([side.flatten(1) for side in sides], dim=2)


@hookimpl
def fusekit_components():
    return [
        component("task", "local.shown", target=f"{__name__}:Shown", summary="Which classes there are"),
        component("task", "local.detector", target=f"{__name__}:Detector", summary="Where things are"),
    ]
