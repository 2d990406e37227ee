"""Base class of dataset options, and data provenance. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fusekit.interfaces.config import ComponentConfig
from fusekit.interfaces.context import ClassTable


@dataclass(frozen=True)
class Provenance:
    """Origin of a dataset; reported wherever a number computed from it appears.

    Attributes:
        name: Name of the dataset.
        synthetic: Whether the images were rendered by a program.
        labels: ``"human"``, ``"pseudo"`` (predicted by networks), ``"exact"`` (rendered), or None.
        note: Anything else that a reader must know, in one sentence.
    """

    name: str
    synthetic: bool = False
    labels: Literal["human", "pseudo", "exact"] | None = None
    note: str = ""


class DatasetConfig(ComponentConfig):
    """Base class of a dataset's ``Config``: describes the data, and checks whether it is present, without torch."""

    def roles(self) -> tuple[str, ...]:
        """Roles of the sources in order, such as ``("infrared", "visible")``."""
        raise NotImplementedError(f"{type(self).__name__} does not declare the roles of its sources")

    def classes(self) -> ClassTable | None:
        """Class table of the labels or boxes, or None if there are neither; both have the same table."""
        return None

    def annotations(self) -> frozenset[str]:
        """What every scene is annotated with: ``labels`` (a label map), ``boxes``, both, or nothing.

        By default, data with a class table has label maps.
        """
        return frozenset() if self.classes() is None else frozenset({"labels"})

    def provenance(self) -> Provenance:
        """Origin of this data."""
        raise NotImplementedError(f"{type(self).__name__} does not declare the provenance of its data")

    def missing(self, root: Path | None) -> str | None:
        """Missing data below `root`: a sentence that states which files are expected where; None if complete.

        Cheap: checks for folders and reads no images.
        """
        return None

    def unfit_for_validation(self) -> str | None:
        """Reason why the ``val`` split must not be used for model selection: it is not an independent split.

        Returns:
            A sentence that states what the split is instead; None if it shares no scene with training and test.
        """
        return None
