"""Options of the parameter-free methods. Imports no torch."""

from __future__ import annotations

from fusekit.interfaces.config import ComponentConfig, Field


class NoOptions(ComponentConfig):
    """No options and no trainable parameters."""

    def has_weights(self) -> bool:
        return False


class LaplacianConfig(NoOptions):
    """Options of the Laplacian pyramid."""

    levels: int = Field(
        5, ge=1, le=12, description="number of levels (octaves) of detail; fewer if the image is too small for them"
    )


class CopyConfig(NoOptions):
    """Options of the copy."""

    source: str | int | None = Field(
        None,
        description="role or index of the copied source; default: the first (in `evaluate.baselines`: each in turn)",
    )
