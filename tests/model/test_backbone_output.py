"""What a backbone must return."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fusekit.errors import PluginError
from fusekit.interfaces import FusionBackbone, FusionOutput


class Mean(FusionBackbone):
    """The mean of the sources, as a plain tensor or as an output."""

    plain = True

    def forward(self, sources, *, guidance=None):  # type: ignore[no-untyped-def]
        mean: Tensor = sum(sources) / len(sources)
        return mean if self.plain else FusionOutput(mean)


def test_a_plain_tensor_is_named() -> None:
    backbone, sources = Mean(), (torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16))
    with pytest.raises(PluginError, match=r"Mean\.forward returns a Tensor"):
        backbone(sources)
    backbone.plain = False
    assert float(backbone(sources).image.mean()) == 0.5
