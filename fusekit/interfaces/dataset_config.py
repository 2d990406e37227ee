"""What a dataset's options and its honesty about itself look like. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fusekit.interfaces.config import ComponentConfig
from fusekit.interfaces.context import ClassTable


@dataclass(frozen=True)
class Provenance:
    """Where data comes from, as it must be said wherever a number made with it appears.

    Attributes:
        name: Name of the dataset.
        synthetic: Whether the images were rendered by a program.
        labels: ``"human"``, ``"pseudo"`` (predicted by networks), ``"exact"`` (rendered), or None.
        note: Anything else that a reader must know, one sentence.
    """

    name: str
    synthetic: bool = False
    labels: Literal["human", "pseudo", "exact"] | None = None
    note: str = ""


class DatasetConfig(ComponentConfig):
    """Base of a dataset's ``Config``: says, without torch, what the data is and whether it is there."""

    def roles(self) -> tuple[str, ...]:
        """Roles of the sources in order, such as ``("infrared", "visible")``."""
        raise NotImplementedError(f"{type(self).__name__} does not say the roles of its sources")

    def classes(self) -> ClassTable | None:
        """Class table of the labels, or None where there are no labels."""
        return None

    def provenance(self) -> Provenance:
        """What must be said of this data."""
        raise NotImplementedError(f"{type(self).__name__} does not say where its data comes from")

    def missing(self, root: Path | None) -> str | None:
        """What is missing below `root`: a sentence that says what to put where; None when all is there.

        Cheap: looks for folders, reads no images.
        """
        return None

    def unfit_for_validation(self) -> str | None:
        """Why nothing may be chosen by the ``val`` split: it is not one of its own.

        Returns:
            A sentence that says what it is instead; None where it shares no scene with training and test.
        """
        return None
