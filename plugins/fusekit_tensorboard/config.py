"""Options of the observer. Imports no torch."""

from __future__ import annotations

from fusekit.interfaces.config import ComponentConfig, Field


class ScalarsConfig(ComponentConfig):
    """Options of the event files."""

    folder: str = Field(
        "tensorboard",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$",
        description="folder of the event files inside the run folder, with one subfolder per phase",
    )
    every: int = Field(
        1, ge=1, description="steps between two logged points of the losses; the last step is always logged"
    )
