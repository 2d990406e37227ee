"""Options of the parameter-free methods. Imports no torch."""

from __future__ import annotations

from fusekit.interfaces.config import ComponentConfig, Field


class NoOptions(ComponentConfig):
    """Nothing to choose, nothing to learn."""

    def has_weights(self) -> bool:
        return False


class LaplacianConfig(NoOptions):
    """How deep the pyramid is."""

    levels: int = Field(5, ge=1, le=12, description="octaves of detail; fewer where the image is too small for them")


class CopyConfig(NoOptions):
    """Which source is copied."""

    source: str | int | None = Field(
        None,
        description="role of the source, or its index; the first when absent (in `evaluate.baselines`: each in turn)",
    )
