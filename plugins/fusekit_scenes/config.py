"""Options of the rendered datasets, and what they say about their data. Imports no torch."""

from __future__ import annotations

from typing import Literal

from fusekit.interfaces import ClassTable, DatasetConfig, Field, Provenance
from fusekit_datasets.config import MSRS_TABLE


class StreetsConfig(DatasetConfig):
    """Rendered street scenes with exact labels in the classes of MSRS."""

    train: int = Field(64, ge=1, description="scenes in the training split")
    val: int = Field(8, ge=1, description="scenes in the validation split")
    test: int = Field(16, ge=1, description="scenes in the test split")
    height: int = Field(480, ge=16, le=4096, description="height of the scenes, pixels")
    width: int = Field(640, ge=16, le=4096, description="width of the scenes, pixels")
    night: Literal["mixed", "day", "night"] = Field("mixed", description="time of day of the scenes")

    def roles(self) -> tuple[str, ...]:
        """Infrared, then visible."""
        return ("infrared", "visible")

    def classes(self) -> ClassTable | None:
        """The nine classes of MSRS."""
        return MSRS_TABLE

    def provenance(self) -> Provenance:
        """Rendered, with exact labels."""
        return Provenance(
            "synthetic scenes",
            synthetic=True,
            labels="exact",
            note="Rendered by a program: numbers made with it say nothing about photographs.",
        )


class IdealPairsConfig(DatasetConfig):
    """Rendered pairs of other kinds of fusion than infrared and visible, with the ideal fused image."""

    task: Literal["multifocus", "multiexposure", "medical"] = Field(
        "multifocus",
        description="`multifocus`: a street photographed with near and far focus; `multiexposure`: a street, too "
        "dark and too bright; `medical`: an invented head, as MRI and as PET in false colours",
    )
    train: int = Field(64, ge=1, description="pairs in the training split")
    val: int = Field(8, ge=1, description="pairs in the validation split")
    test: int = Field(16, ge=1, description="pairs in the test split")
    height: int = Field(256, ge=32, le=4096, description="height of the images, pixels")
    width: int = Field(256, ge=32, le=4096, description="width of the images, pixels")

    def roles(self) -> tuple[str, ...]:
        """Near and far, under and over, or MRI and PET."""
        return {"multifocus": ("near", "far"), "multiexposure": ("under", "over"), "medical": ("mri", "pet")}[self.task]

    def provenance(self) -> Provenance:
        """Rendered, without labels; of which kind, and for the medical pairs that nobody was scanned."""
        kind = {"multifocus": "multi-focus", "multiexposure": "multi-exposure", "medical": "MRI-PET-like"}[self.task]
        made = "Drawn by a program, from nobody's scan" if self.task == "medical" else "Rendered by a program"
        real = "scans" if self.task == "medical" else "photographs"
        return Provenance(
            f"synthetic {kind} pairs", synthetic=True, note=f"{made}: numbers made with it say nothing about {real}."
        )
