"""Options of the parameter-free methods. Imports no torch."""

from __future__ import annotations

from fusekit.interfaces.config import ComponentConfig, Field


class NoOptions(ComponentConfig):
    """Nothing to choose, nothing to learn."""

    def has_weights(self) -> bool:
        return False


class CopyConfig(NoOptions):
    """Which source is copied."""

    source: str | int | None = Field(
        None,
        description="role of the source, or its index; the first when absent (in `evaluate.baselines`: each in turn)",
    )
