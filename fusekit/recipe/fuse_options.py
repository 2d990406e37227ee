"""Fusion options: range, colour, bit depth and tiling; the same for recipes, the CLI and the API. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fusekit.errors import UsageError
from fusekit.recipe.diagnose import problems_of
from fusekit.recipe.tree import node_from_plain

SMALLEST_TILE = 64


class FuseOptions(BaseModel):
    """Fusion options. `fuse_options` creates them with readable errors."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    range: Literal["clip", "fixed", "stretch"] = Field(
        "clip",
        description="clip: keep the network's own range; fixed: map `limits` to black and white in every image; "
        "stretch: map each image's minimum and maximum to black and white, as the papers' scripts do (not for tiles "
        "and videos)",
    )
    limits: tuple[float, float] | None = Field(
        None, description="lower and upper value, within 0 and 1, that range fixed maps to black and white"
    )
    colour: str = Field(
        "auto",
        description="auto: use the chroma of the colour sources; luma: grey; channels: fuse red, green and blue "
        "separately; or the role of the source whose chroma is used",
    )
    bit_depth: Literal["keep", 8, 16] = Field(
        "keep", description="bits per sample: 8, 16, or keep (the highest bit depth among the sources)"
    )
    tile: Literal["auto", "off"] | Annotated[int, Field(ge=SMALLEST_TILE)] = Field(
        "auto", description="auto: tile images above a megapixel; off: never tile; or the side of a tile in pixels"
    )

    @model_validator(mode="after")
    def _limits_belong_to_range_fixed(self) -> FuseOptions:
        if self.limits is None:
            if self.range == "fixed":
                raise ValueError("range fixed needs limits, for example 0.1 and 0.8")
            return self
        low, high = self.limits
        if self.range != "fixed":
            raise ValueError(f"range {self.range} takes no limits; choose range fixed")
        if not 0.0 <= low < high <= 1.0:
            raise ValueError(f"limits {low:g} and {high:g}: the lower must be below the upper, both within 0 and 1")
        return self


def fuse_options(**given: Any) -> FuseOptions:
    """Creates checked options from keyword arguments.

    Args:
        **given: Fields of `FuseOptions`.

    Raises:
        UsageError: An option does not exist or its value is not valid; one line each.
    """
    try:
        return FuseOptions(**given)
    except ValidationError as error:
        plain = {name: value if isinstance(value, bool | int | float | str) else None for name, value in given.items()}
        lines = [str(problem) for problem in problems_of(error, FuseOptions, node_from_plain(plain))]
        raise UsageError("\n".join(lines)) from None
