"""Options of the parameter-free methods. Imports no torch."""

from __future__ import annotations

from fusekit.interfaces.config import ComponentConfig, ComponentRef, Field, LossTermRef, term_names


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
