"""Options of the parameter-free methods. Imports no torch."""

from __future__ import annotations

from fusekit.interfaces.config import ComponentConfig, Field


class NoOptions(ComponentConfig):
    """Nothing to choose."""


class CopyConfig(ComponentConfig):
    """Which source is copied."""

    source: str | int = Field(0, description="role of the source, or its index")
