"""Plugin with datasets of image files in folders. Imports no torch."""

from __future__ import annotations

from fusekit.plugin import ComponentSpec, component, hookimpl


@hookimpl
def fusekit_components() -> list[ComponentSpec]:
    """Declare MSRS and datasets of any folders of registered images."""
    return [
        component(
            "dataset",
            "data.msrs",
            target="fusekit_datasets.datasets:MsrsDataset",
            config="fusekit_datasets.config:MsrsConfig",
            summary="MSRS road scenes, infrared and visible, with label maps; official or custom folder layout",
            paper="Information Fusion 83-84 (2022), PIAFusion",
        ),
        component(
            "dataset",
            "data.pairs",
            target="fusekit_datasets.datasets:PairsDataset",
            config="fusekit_datasets.config:PairsConfig",
            summary="Any folders of registered images, paired by file stem, with or without label maps",
        ),
        component(
            "dataset",
            "data.collection",
            target="fusekit_datasets.datasets:Collection",
            config="fusekit_datasets.config:CollectionConfig",
            summary="Several sets of image pairs as one dataset, to train on all of them",
        ),
    ]
