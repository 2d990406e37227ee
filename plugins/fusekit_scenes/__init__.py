"""Plugin with rendered scenes with exact labels, and rendered pairs with a known ideal. Imports no torch."""

from __future__ import annotations

from fusekit.plugin import ComponentSpec, component, hookimpl

FUSEKIT_API = ">=1.0,<2"


@hookimpl
def fusekit_components() -> list[ComponentSpec]:
    """Declare the rendered datasets."""
    return [
        component(
            "dataset",
            "scenes.streets",
            target="fusekit_scenes.streets:Streets",
            config="fusekit_scenes.config:StreetsConfig",
            summary="Rendered street scenes in infrared and visible light, with exact label maps",
        ),
        component(
            "dataset",
            "scenes.ideal_pairs",
            target="fusekit_scenes.ideal_pairs:IdealPairs",
            config="fusekit_scenes.config:IdealPairsConfig",
            summary="Rendered multi-focus, multi-exposure or MRI-PET-like pairs, with the ideal fused image",
        ),
    ]
