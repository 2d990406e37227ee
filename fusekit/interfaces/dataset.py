"""The dataset: registered sources by role, with labels if the data has them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor

from fusekit.interfaces.dataset_config import DatasetConfig
from fusekit.interfaces.types import Boxes

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Sample:
    """One scene.

    Attributes:
        id: Identifier, unique in its split; used as the name of output files.
        images: The sources as they are on disk, in the order of the roles: (1 or 3, H, W) float32 in [0, 1].
        label: Label map (H, W) int64, or None.
        ideal: Ground-truth fused image, (1 or 3, H, W) float32 in [0, 1], or None if it is not known. Rendered
            scenes have one; it is used for evaluation only, never for training.
        boxes: The annotated objects, or None if the data has no boxes. An image without objects has zero boxes; one
            whose objects are unknown has an ignored box of class -1 that covers it.
    """

    id: str
    images: tuple[Tensor, ...]
    label: Tensor | None = None
    ideal: Tensor | None = None
    boxes: Boxes | None = None


class FusionDataset(ABC):
    """The scenes of one split, in a fixed order.

    The config declares roles, class table and provenance (`DatasetConfig`), because these are needed before
    anything is read.
    """

    Config: ClassVar[type[DatasetConfig]] = DatasetConfig

    @abstractmethod
    def __init__(self, config: DatasetConfig, root: Path | None, split: Split, *, seed: int = 0) -> None:
        """Finds the scenes of a split; reads no pixels.

        Args:
            config: An instance of this class's ``Config``.
            root: Folder of the data, for datasets that read files.
            split: The split to use.
            seed: Seed for datasets that generate their data.

        Raises:
            DataError: The data is missing, or its files do not form pairs.
        """

    @property
    @abstractmethod
    def ids(self) -> Sequence[str]:
        """Identifiers of the scenes, in order."""

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Reads a scene.

        Raises:
            DataError: A file is unreadable or truncated, the images of a scene differ in size, or a label has an
                unknown value.
        """
