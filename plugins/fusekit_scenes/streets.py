"""Street scenes rendered on demand."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from fusekit.interfaces.dataset import Sample, Split
from fusekit.interfaces.dataset_config import DatasetConfig
from fusekit.interfaces.types import Boxes
from fusekit_scenes.config import StreetsConfig
from fusekit_scenes.render import Scene, render_scene
from fusekit_scenes.rendered import RenderedDataset, as_tensor

_SMALLEST = 24
"""Objects with fewer visible pixels are ignored boxes: they are too small or hidden to be found."""

_NIGHT = {"mixed": None, "day": False, "night": True}


class Streets(RenderedDataset[Scene]):
    """Rendered scenes with exact label maps and boxes. Splits have no scene in common, regardless of their lengths.

    A scene depends only on the seed, its split and its number, so a longer split begins with the same scenes. Rendering
    is lazy; rendered scenes are cached in memory up to 512 MiB.
    """

    Config: ClassVar[type[DatasetConfig]] = StreetsConfig

    def __init__(self, config: DatasetConfig, root: Path | None, split: Split, *, seed: int = 0) -> None:
        assert isinstance(config, StreetsConfig)
        self._config = config
        self._start({"train": config.train, "val": config.val, "test": config.test}[split], split, seed, "synthetic")

    def _render(self, seed: int, number: int) -> Scene:
        config = self._config
        return render_scene(seed, number, height=config.height, width=config.width, night=_NIGHT[config.night])

    def _size(self, scene: Scene) -> int:
        return scene.visible.nbytes + scene.infrared.nbytes + scene.label.nbytes

    def _sample(self, name: str, scene: Scene) -> Sample:
        label = torch.from_numpy(scene.label.astype(np.int64))
        found = torch.from_numpy(scene.boxes)
        boxes = Boxes(found[:, 1:5].float(), found[:, 0].long(), found[:, 5] < _SMALLEST)
        return Sample(name, (as_tensor(scene.infrared), as_tensor(scene.visible)), label, boxes=boxes)
