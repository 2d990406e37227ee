"""MSRS: road scenes by day and night in infrared and visible light, with nine classes."""

from __future__ import annotations

from typing import ClassVar

from fusekit.data.config import MsrsConfig
from fusekit.data.datasets.folders import FolderDataset
from fusekit.interfaces.dataset_config import DatasetConfig


class MsrsDataset(FolderDataset):
    """MSRS (Tang et al., PIAFusion, Information Fusion 2022); see `MsrsConfig` for its layouts."""

    Config: ClassVar[type[DatasetConfig]] = MsrsConfig
