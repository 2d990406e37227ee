"""Options of the searched loss. Imports no torch."""

from typing import Annotated

from fusekit.interfaces import ComponentConfig, ComponentRef, Field
from fusekit.interfaces.config import NestedKind

MetricRef = Annotated[ComponentRef, NestedKind("metric")]


class MixtureConfig(ComponentConfig):
    """Options of `termsearch.mixture`."""

    equal: float = Field(1.0, ge=0, description="share of equal weights, at the start")
    brightest: float = Field(1.0, ge=0, description="share of all weight on the brightest source, at the start")
    sharpest: float = Field(1.0, gt=0, description="share of weights by local contrast, at the start")

    def has_weights(self) -> bool:
        return False  # a search changes it, no gradient does


class EvolutionConfig(ComponentConfig):
    """Options of `termsearch.evolution`."""

    metric: MetricRef = Field(
        ComponentRef(use="strict.qabf"), description="what the search wants the fused images to be good at"
    )
    population: int = Field(5, ge=2, description="candidates of a generation")
    generations: int = Field(3, ge=1, description="generations of a search")
    mutation: float = Field(0.1, ge=0, le=1, description="chance that a gene of a child is drawn anew")
    trial_steps: int = Field(2, ge=1, description="steps that a copy of the fusion network takes with a candidate")
    trial_rate: float = Field(0.01, gt=0, description="rate of these steps")

    def needs(self) -> frozenset[str]:
        return frozenset({"backbone", "loss-proposer"})

    def trains(self) -> frozenset[str]:
        return frozenset({"backbone"})

    def streams(self) -> frozenset[str]:
        return frozenset({"trial", "evaluated", "fusion"})
