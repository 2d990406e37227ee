"""Options of the parameter-free methods. Imports no torch."""

from __future__ import annotations

from fusekit.interfaces.config import ComponentConfig, ComponentRef, Field, LossTermRef, term_names


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


class FixedLossConfig(ComponentConfig):
    """Options of training with a fixed fusion loss."""

    loss: list[LossTermRef] = Field(
        [ComponentRef(use="losses.intensity"), ComponentRef(use="losses.gradient")],
        min_length=1,
        description="terms of the fusion loss, each with its weight",
    )

    def needs(self) -> frozenset[str]:
        return frozenset({"backbone"})

    def trains(self) -> frozenset[str]:
        return frozenset({"backbone"})

    def losses(self) -> frozenset[str]:
        return frozenset({"total", *term_names(self.loss)})
