"""Options of the observers. Imports no torch."""

from __future__ import annotations

from fusekit.interfaces.config import ComponentConfig, Field


class ScalarsConfig(ComponentConfig):
    """Where event files lie, and how many points they hold."""

    folder: str = Field(
        "tensorboard",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$",
        description="folder of the event files inside the folder of the run; a folder in it for every phase",
    )
    every: int = Field(1, ge=1, description="steps between two points of the losses; the last step is always one")
