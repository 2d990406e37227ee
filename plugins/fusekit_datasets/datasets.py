"""The datasets of files: each is a `FolderDataset` with its own Config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from fusekit.errors import DataError
from fusekit.interfaces.dataset import FusionDataset, Sample, Split
from fusekit.interfaces.dataset_config import DatasetConfig
from fusekit_datasets.config import CollectionConfig, MsrsConfig, PairsConfig
from fusekit_datasets.folders import FolderDataset


class MsrsDataset(FolderDataset):
    """Road scenes by day and night in infrared and visible light, with nine classes.

    MSRS (Tang et al., PIAFusion, Information Fusion 2022); `MsrsConfig` describes the folder layouts.
    """

    Config: ClassVar[type[DatasetConfig]] = MsrsConfig


class PairsDataset(FolderDataset):
    """Two or more folders of registered images with the same stems; see `PairsConfig`."""

    Config: ClassVar[type[DatasetConfig]] = PairsConfig


class Collection(FusionDataset):
    """Several sets of image pairs, one after the other; see `CollectionConfig`."""

    Config: ClassVar[type[DatasetConfig]] = CollectionConfig

    def __init__(self, config: DatasetConfig, root: Path | None, split: Split, *, seed: int = 0) -> None:
        assert isinstance(config, CollectionConfig)
        if root is None:
            raise DataError(config.missing(None) or f"{config.name}: no data root is given")
        members = [m for m in config.members if m.split_folder(split) is not None]
        if not members:
            raise DataError(f"{config.name}: no member has a {split} split")
        self._members = [FolderDataset(member, root / member.folder, split, seed=seed) for member in members]
        self._places = [(member, index) for member in self._members for index in range(len(member))]
        self._ids = [
            f"{member.title()}-{stem}"
            for member, dataset in zip(members, self._members, strict=True)
            for stem in dataset.ids
        ]

    @property
    def ids(self) -> Sequence[str]:
        """Names of the scenes: member and stem."""
        return self._ids

    def __getitem__(self, index: int) -> Sample:
        """Reads a scene of the member that it belongs to."""
        member, number = self._places[index]
        return replace(member[number], id=self._ids[index])
