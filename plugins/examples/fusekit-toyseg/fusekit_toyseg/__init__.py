"""A small segmentation network as a plugin of fusekit. Imports no torch."""

from fusekit.plugin import component, hookimpl

FUSEKIT_API = ">=1.0,<2"


@hookimpl
def fusekit_components():
    """The components of this plugin."""
    return [
        component(
            "task",
            "toyseg.small",
            target="fusekit_toyseg.net:SmallSegmenter",
            config="fusekit_toyseg.config:SmallConfig",
            summary="A segmenter of a few thousand parameters",
        )
    ]
