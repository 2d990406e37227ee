"""Entry module of the built-in datasets. Imports no torch."""

from __future__ import annotations

from fusekit.plugin import ComponentSpec, component, hookimpl


@hookimpl
def fusekit_components() -> list[ComponentSpec]:
    """The datasets that come with fusekit."""
    return [
        component(
            "dataset",
            "data.msrs",
            target="fusekit.data.datasets.msrs:MsrsDataset",
            config="fusekit.data.config:MsrsConfig",
            summary="MSRS road scenes, infrared and visible, with label maps; official layout or your own",
            paper="Information Fusion 83-84 (2022), PIAFusion",
        ),
        component(
            "dataset",
            "data.pairs",
            target="fusekit.data.datasets.pairs:PairsDataset",
            config="fusekit.data.config:PairsConfig",
            summary="Any folders of registered images, matched by file name, with or without label maps",
        ),
    ]
