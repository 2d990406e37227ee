"""Options of the straight path. Imports no torch."""

from __future__ import annotations

from fusekit.interfaces.config import ComponentConfig, Field


class StraightPathConfig(ComponentConfig):
    """Options of the straight path."""

    steps: int = Field(5, ge=1, le=1000, description="number of path points K")
