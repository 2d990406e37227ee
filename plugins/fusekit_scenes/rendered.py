"""Base class of datasets that render their scenes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fusekit.data import ByteCache
from fusekit.interfaces.dataset import FusionDataset, Sample
from fusekit.seeds import stream_seed

T = TypeVar("T")

_CACHE_BYTES = 512 << 20


class RenderedDataset(FusionDataset, Generic[T]):
    """Scenes rendered on demand. Splits have no scene in common, regardless of their lengths.

    A scene depends only on the seed, its split and its number, so a longer split begins with the same scenes. Rendering
    is lazy; rendered scenes are cached in memory up to 512 MiB.
    """

    def _start(self, count: int, split: str, seed: int, *names: str) -> None:
        """Initialise the identifiers, the random stream and the cache.

        Args:
            count: Number of scenes.
            split: Name of the split.
            seed: Seed of the run.
            names: Name of the random stream, to which the split is added; different kinds of scenes use different
                streams.
        """
        self._seed = stream_seed(seed, *names, split)
        self._ids = tuple(f"{split}_{number:05d}" for number in range(count))
        self._scenes: ByteCache[int, T] = ByteCache(_CACHE_BYTES, self._size)

    @property
    def ids(self) -> Sequence[str]:
        """Identifiers of the form ``SPLIT_NUMBER``."""
        return self._ids

    def __getitem__(self, index: int) -> Sample:
        """Render a scene, or take it from the cache."""
        number = range(len(self._ids))[index]
        scene = self._scenes.get(number, lambda: self._render(self._seed, number))
        return self._sample(self._ids[number], scene)

    @abstractmethod
    def _render(self, seed: int, number: int) -> T:
        """Render a scene from the seed and its number."""

    @abstractmethod
    def _size(self, scene: T) -> int:
        """Size of a scene in bytes."""

    @abstractmethod
    def _sample(self, name: str, scene: T) -> Sample:
        """Convert a scene to a sample."""


def as_tensor(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """An image ``(H, W)`` or ``(H, W, 3)`` of 8 bits as (1 or 3, H, W) float32 in [0, 1]."""
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes).astype(np.float32) / np.float32(255))
