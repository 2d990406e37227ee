"""Options of the components of this folder that keep their contracts. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from fusekit.interfaces.config import ComponentConfig, Field, LossTermConfig, PerSeverity, TransformConfig
from fusekit.interfaces.context import ClassTable
from fusekit.interfaces.dataset_config import DatasetConfig, Provenance


class Plain(ComponentConfig):
    size: int = Field(3, ge=1, description="something to choose")


class Classifies(ComponentConfig):
    def solves(self) -> frozenset[str]:
        return frozenset({"classification"})


class Detects(ComponentConfig):
    def solves(self) -> frozenset[str]:
        return frozenset({"detection"})


class AsksASegmenter(ComponentConfig):
    size: int = Field(3, ge=1, description="something to choose")

    def needs(self) -> frozenset[str]:
        return frozenset({"task:segmentation"})


class Term(LossTermConfig):
    pass


class Weakens(TransformConfig):
    share: PerSeverity[float] = Field({"light": 0.1, "medium": 0.3, "heavy": 0.9}, description="share of noise")


class WeightedTerm(LossTermConfig):
    def needs(self) -> frozenset[str]:
        return frozenset({"loss-proposer"})


class SceneConfig(DatasetConfig):
    def roles(self) -> tuple[str, ...]:
        return ("near", "far")

    def classes(self) -> ClassTable | None:
        return ClassTable(("sky", "road"), ((0, 0, 0), (9, 9, 9)))

    def provenance(self) -> Provenance:
        return Provenance("noise", synthetic=True)

    def missing(self, root: Path | None) -> str | None:
        return None


class TrainsBackbone(ComponentConfig):
    def needs(self) -> frozenset[str]:
        return frozenset({"backbone"})

    def trains(self) -> frozenset[str]:
        return frozenset({"backbone"})

    def losses(self) -> frozenset[str]:
        return frozenset({"distance"})
