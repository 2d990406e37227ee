"""Options of the rendered datasets, and the properties of their data. Imports no torch."""

from __future__ import annotations

from typing import Literal

from fusekit.interfaces import ClassTable, DatasetConfig, Field, Provenance
from fusekit_datasets.config import MSRS_TABLE


class StreetsConfig(DatasetConfig):
    """Rendered street scenes with exact labels and boxes in the classes of MSRS.

    Cars, persons and bikes have boxes, around their visible pixels.
    """

    train: int = Field(64, ge=1, description="number of scenes in the training split")
    val: int = Field(8, ge=1, description="number of scenes in the validation split")
    test: int = Field(16, ge=1, description="number of scenes in the test split")
    height: int = Field(480, ge=16, le=4096, description="height of the scenes in pixels")
    width: int = Field(640, ge=16, le=4096, description="width of the scenes in pixels")
    night: Literal["mixed", "day", "night"] = Field("mixed", description="time of day of the scenes")

    def roles(self) -> tuple[str, ...]:
        """The roles infrared and visible, in this order."""
        return ("infrared", "visible")

    def classes(self) -> ClassTable | None:
        """The nine classes of MSRS."""
        return MSRS_TABLE

    def annotations(self) -> frozenset[str]:
        """Label maps and boxes."""
        return frozenset({"labels", "boxes"})

    def provenance(self) -> Provenance:
        """Name of the data, marked as synthetic with exact labels."""
        return Provenance(
            "synthetic scenes",
            synthetic=True,
            labels="exact",
            note="Rendered by a program: results on it do not apply to photographs.",
        )


class IdealPairsConfig(DatasetConfig):
    """Rendered pairs for other kinds of fusion than infrared and visible, with the ideal fused image."""

    task: Literal["multifocus", "multiexposure", "medical"] = Field(
        "multifocus",
        description="`multifocus`: a street with near and far focus; `multiexposure`: a street, under- and "
        "over-exposed; `medical`: an artificial head, as MRI and as PET in false colours",
    )
    train: int = Field(64, ge=1, description="number of pairs in the training split")
    val: int = Field(8, ge=1, description="number of pairs in the validation split")
    test: int = Field(16, ge=1, description="number of pairs in the test split")
    height: int = Field(256, ge=32, le=4096, description="height of the images in pixels")
    width: int = Field(256, ge=32, le=4096, description="width of the images in pixels")

    def roles(self) -> tuple[str, ...]:
        """The roles near and far, under and over, or mri and pet."""
        return {"multifocus": ("near", "far"), "multiexposure": ("under", "over"), "medical": ("mri", "pet")}[self.task]

    def provenance(self) -> Provenance:
        """Name of the data, marked as synthetic, without labels; medical pairs are not based on any scan."""
        kind = {"multifocus": "multi-focus", "multiexposure": "multi-exposure", "medical": "MRI-PET-like"}[self.task]
        made = "Rendered by a program, not from a scan" if self.task == "medical" else "Rendered by a program"
        real = "scans" if self.task == "medical" else "photographs"
        return Provenance(
            f"synthetic {kind} pairs", synthetic=True, note=f"{made}: results on it do not apply to {real}."
        )
