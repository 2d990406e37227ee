"""The datasets of files: each is a `FolderDataset` with its own Config."""

from __future__ import annotations

from typing import ClassVar

from fusekit.interfaces.dataset_config import DatasetConfig
from fusekit_datasets.config import MsrsConfig, PairsConfig
from fusekit_datasets.folders import FolderDataset


class MsrsDataset(FolderDataset):
    """Road scenes by day and night in infrared and visible light, with nine classes.

    MSRS (Tang et al., PIAFusion, Information Fusion 2022); `MsrsConfig` describes the folder layouts.
    """

    Config: ClassVar[type[DatasetConfig]] = MsrsConfig


class PairsDataset(FolderDataset):
    """Two or more folders of registered images with the same stems; see `PairsConfig`."""

    Config: ClassVar[type[DatasetConfig]] = PairsConfig
