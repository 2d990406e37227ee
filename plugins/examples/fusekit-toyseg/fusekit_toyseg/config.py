"""Options of the small segmenter. Imports no torch."""

from fusekit.interfaces import ComponentConfig, Field


class SmallConfig(ComponentConfig):
    """Options of `toyseg.small`."""

    width: int = Field(16, ge=4, description="channels of the hidden layers")
