"""Pairs with an ideal fused image, rendered on demand."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from fusekit.interfaces.dataset import Sample, Split
from fusekit.interfaces.dataset_config import DatasetConfig
from fusekit_scenes.config import IdealPairsConfig
from fusekit_scenes.render import Pair, exposure_pair, focus_pair, medical_pair
from fusekit_scenes.rendered import RenderedDataset, as_tensor

_MAKE = {"multifocus": focus_pair, "multiexposure": exposure_pair, "medical": medical_pair}


class IdealPairs(RenderedDataset[Pair]):
    """Rendered multi-focus, multi-exposure or MRI-PET-like pairs, each with its ideal fused image.

    The function that renders the pair defines the ideal: `focus_pair`, `exposure_pair` or `medical_pair`. A pair
    depends only on the task, the seed, its split and its number.
    """

    Config: ClassVar[type[DatasetConfig]] = IdealPairsConfig

    def __init__(self, config: DatasetConfig, root: Path | None, split: Split, *, seed: int = 0) -> None:
        assert isinstance(config, IdealPairsConfig)
        self._config = config
        count = {"train": config.train, "val": config.val, "test": config.test}[split]
        self._start(count, split, seed, "synthetic_pairs", config.task)

    def _render(self, seed: int, number: int) -> Pair:
        config = self._config
        return _MAKE[config.task](seed, number, height=config.height, width=config.width)

    def _size(self, scene: Pair) -> int:
        return sum(image.nbytes for image in (*scene.images, scene.ideal))

    def _sample(self, name: str, scene: Pair) -> Sample:
        first, second = (as_tensor(image) for image in scene.images)
        return Sample(name, (first, second), ideal=as_tensor(scene.ideal))
