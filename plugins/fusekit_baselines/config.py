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


class SharpestConfig(NoOptions):
    """Options of the proposer for pairs of different focus."""

    window: float = Field(3.0, gt=0, le=64, description="standard deviation of the Gaussian window, pixels")
    power: float = Field(4.0, gt=0, le=64, description="p: the larger, the more the sharper source has all the weight")


class WellExposedConfig(NoOptions):
    """Options of the proposer for pairs of different exposure."""

    window: float = Field(4.0, gt=0, le=64, description="standard deviation of the Gaussian window, pixels")
    sigma: float = Field(0.2, gt=0, le=4, description="σ: width of good exposure around .5, as a share of the range")
    contrast: float = Field(1.0, ge=0, le=4, description="exponent of the contrast; 0 leaves it out")


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
