"""Datasets of image files in folders, as a plugin. Imports no torch."""

from __future__ import annotations

from fusekit.plugin import ComponentSpec, component, hookimpl


@hookimpl
def fusekit_components() -> list[ComponentSpec]:
    """MSRS, and any folders of registered images."""
    return [
        component(
            "dataset",
            "data.msrs",
            target="fusekit_datasets.datasets:MsrsDataset",
            config="fusekit_datasets.config:MsrsConfig",
            summary="MSRS road scenes, infrared and visible, with label maps; official layout or your own",
            paper="Information Fusion 83-84 (2022), PIAFusion",
        ),
        component(
            "dataset",
            "data.pairs",
            target="fusekit_datasets.datasets:PairsDataset",
            config="fusekit_datasets.config:PairsConfig",
            summary="Any folders of registered images, matched by file name, with or without label maps",
        ),
    ]
