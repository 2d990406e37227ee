"""Registered images in any folders, matched by file name."""

from __future__ import annotations

from typing import ClassVar

from fusekit.data.config import PairsConfig
from fusekit.data.datasets.folders import FolderDataset
from fusekit.interfaces.dataset_config import DatasetConfig


class PairsDataset(FolderDataset):
    """Two or more folders of images with the same stems; see `PairsConfig`."""

    Config: ClassVar[type[DatasetConfig]] = PairsConfig
