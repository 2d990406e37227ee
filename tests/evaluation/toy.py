"""A dataset that may know its ideals and a head that recovers sources, in a run without training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import fusekit
from fusekit.interfaces import (
    BuildContext,
    ComponentConfig,
    DatasetConfig,
    Field,
    FusionDataset,
    Provenance,
    ReconstructionHead,
    Sample,
)
from fusekit.interfaces.dataset import Split
from fusekit.interfaces.types import Sources
from fusekit.pipeline.run import Run
from fusekit.plugin import component
from fusekit.plugin.loader import PluginReport
from fusekit.plugin.registry import Registry, registry

ROLES = ("infrared", "visible")


def sources(number: int) -> tuple[Tensor, Tensor]:
    """A grey and a colour image of 48x64 with even grey levels, so that no mean of them needs rounding."""
    generator = torch.Generator().manual_seed(number)
    grey = torch.randint(0, 128, (1, 48, 64), generator=generator) * 2
    colour = (torch.randint(0, 128, (1, 48, 64), generator=generator) * 2).expand(3, 48, 64)
    return grey / 255.0, colour / 255.0


class ScenesConfig(DatasetConfig):
    ideals: int = Field(0, description="how many scenes, from the first, know their ideal")

    def roles(self) -> tuple[str, ...]:
        return ROLES

    def provenance(self) -> Provenance:
        return Provenance("toy", synthetic=True)


class Scenes(FusionDataset):
    """Two scenes of noise; the ideal is the mean of the sources."""

    Config = ScenesConfig

    def __init__(self, config: DatasetConfig, root: Path | None, split: Split, *, seed: int = 0) -> None:
        assert isinstance(config, ScenesConfig)
        self.ideals = config.ideals

    @property
    def ids(self) -> Sequence[str]:
        return ("first", "second")

    def __getitem__(self, index: int) -> Sample:
        images = sources(index)
        ideal = (images[0] + images[1]) / 2 if index < self.ideals else None
        return Sample(self.ids[index], images, ideal=ideal)


class Head(ReconstructionHead):
    """Bright and dark copies of the fused image; 6 weights, of which one counts."""

    def __init__(self, config: ComponentConfig | None = None, context: BuildContext | None = None) -> None:
        super().__init__(config, context)
        self.gain = nn.Parameter(torch.full((6,), 0.5))

    def forward(self, fused: Tensor) -> Sources:
        return fused, fused * self.gain[0]


def toy_registry() -> Registry:
    """The installed components, and those of this module."""
    made = (
        component("dataset", "toy.scenes", target=f"{__name__}:Scenes", summary="noise"),
        component("reconstruction", "toy.head", target=f"{__name__}:Head", summary="copies"),
    )
    return Registry([*registry().reports, PluginReport("toy", "fusekit-toy", "1.0", "toy", components=made)])


def toy_run(
    runs: Path, *, name: str = "toy", ideals: int = 0, components: Registry | None = None, **sections: dict[str, Any]
) -> Run:
    """The mean of the sources as the model of a whole run.

    Args:
        runs: Where the run's folder is made.
        name: Name of the run.
        ideals: How many of the two scenes know their ideal.
        components: What the recipe may name; everything installed and this module's, when None.
        **sections: Sections of the recipe, which replace those here.
    """
    plain: dict[str, Any] = {
        "schema": 1,
        "name": name,
        "data": {"use": "toy.scenes", "params": {"ideals": ideals}},
        "model": {"backbone": {"use": "baselines.mean"}},
        **sections,
    }
    recipe = fusekit.Recipe.from_dict(plain, registry=components or toy_registry())
    return fusekit.run(recipe, runs=runs, device="cpu")
