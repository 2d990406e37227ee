"""Options of the loss terms. Imports no torch."""

from __future__ import annotations

from typing import Literal

from fusekit.interfaces import Field, LossTermConfig

Norm = Literal["l1", "l2"]


class ProposedIntensityConfig(LossTermConfig):
    """Options of the distance to the weighted sources."""

    norm: Norm = Field(
        "l2", description="`l2`: the squared weighted difference (the papers); `l1`: the weighted absolute difference"
    )

    def needs(self) -> frozenset[str]:
        return frozenset({"loss-proposer"})


class BrightestIntensityConfig(LossTermConfig):
    """Options of the distance to the pixelwise maximum."""

    norm: Norm = Field("l1", description="`l1`: absolute difference; `l2`: squared difference")


class GradientConfig(LossTermConfig):
    """Options of the distance to the strongest gradient."""

    form: Literal["strength", "signed"] = Field(
        "strength",
        description="`strength`: |sobel_x| + |sobel_y| (ReFusion, UAAFusion); `signed`: each axis by itself, with its "
        "sign (TDFusion)",
    )
    norm: Norm = Field("l1", description="`l1`: absolute difference (the papers); `l2`: squared difference")
    gain: float = Field(1.0, gt=0, le=4, description="factor of the target gradient; above 1 sharpens")


class EdgesConfig(LossTermConfig):
    """Options of the edge transfer."""


class SsimConfig(LossTermConfig):
    """Options of the structural dissimilarity."""


class VifConfig(LossTermConfig):
    """Options of the VIF-like term."""

    scales: int = Field(3, ge=1, le=6, description="number of scales, each half as large as the one before")
    window: int = Field(5, ge=3, le=31, description="side of the window of local statistics, pixels")


class ScdConfig(LossTermConfig):
    """Options of the correlation of differences."""
