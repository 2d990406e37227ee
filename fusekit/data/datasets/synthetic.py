"""Street scenes rendered on demand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fusekit.data.cache import ByteCache
from fusekit.data.config import SyntheticConfig
from fusekit.data.synthetic import Scene, render_scene
from fusekit.interfaces.dataset import FusionDataset, Sample, Split
from fusekit.interfaces.dataset_config import DatasetConfig
from fusekit.seeds import stream_seed

_NIGHT = {"mixed": None, "day": False, "night": True}
_CACHE_BYTES = 512 << 20


class SyntheticDataset(FusionDataset):
    """Rendered scenes with exact class maps. Splits share no scene, whatever their lengths.

    A scene depends on the seed, its split and its number only, so a longer split begins with the same
    scenes. Rendering is lazy; scenes stay in memory up to 512 MiB.
    """

    Config: ClassVar[type[DatasetConfig]] = SyntheticConfig

    def __init__(self, config: DatasetConfig, root: Path | None, split: Split, *, seed: int = 0) -> None:
        assert isinstance(config, SyntheticConfig)
        count = {"train": config.train, "val": config.val, "test": config.test}[split]
        self._config = config
        self._seed = stream_seed(seed, "synthetic", split)
        self._ids = tuple(f"{split}_{number:05d}" for number in range(count))
        self._scenes: ByteCache[int, Scene] = ByteCache(
            _CACHE_BYTES, lambda s: s.visible.nbytes + s.infrared.nbytes + s.label.nbytes
        )

    @property
    def ids(self) -> Sequence[str]:
        """``SPLIT_NUMBER``."""
        return self._ids

    def __getitem__(self, index: int) -> Sample:
        """Renders a scene, or takes it from memory."""
        number = range(len(self._ids))[index]
        config = self._config
        scene = self._scenes.get(
            number,
            lambda: render_scene(
                self._seed, number, height=config.height, width=config.width, night=_NIGHT[config.night]
            ),
        )
        label = torch.from_numpy(scene.label.astype(np.int64))
        return Sample(self._ids[number], (_image(scene.infrared), _image(scene.visible)), label)


def _image(pixels: npt.NDArray[np.uint8]) -> Tensor:
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes).astype(np.float32) / np.float32(255))
