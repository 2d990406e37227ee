"""Options of the searched loss. This module must not import torch."""

from typing import Annotated

from fusekit.interfaces import ComponentConfig, ComponentRef, Field
from fusekit.interfaces.config import NestedKind

MetricRef = Annotated[ComponentRef, NestedKind("metric")]


class MixtureConfig(ComponentConfig):
    """Options of `termsearch.mixture`."""

    equal: float = Field(1.0, ge=0, description="initial share of the rule of equal weights")
    brightest: float = Field(1.0, ge=0, description="initial share of the rule that selects the brightest source")
    sharpest: float = Field(1.0, gt=0, description="initial share of the rule that weights sources by local contrast")

    def has_weights(self) -> bool:
        return False  # changed by a search, not by gradients


class EvolutionConfig(ComponentConfig):
    """Options of `termsearch.evolution`."""

    metric: MetricRef = Field(
        ComponentRef(use="strict.qabf"), description="metric of the fused images that the search improves"
    )
    population: int = Field(5, ge=2, description="candidates per generation")
    generations: int = Field(3, ge=1, description="generations per search")
    mutation: float = Field(0.1, ge=0, le=1, description="probability that a gene of a child is redrawn")
    trial_steps: int = Field(2, ge=1, description="steps that a copy of the fusion network takes with a candidate")
    trial_rate: float = Field(0.01, gt=0, description="learning rate of these steps")

    def needs(self) -> frozenset[str]:
        return frozenset({"backbone", "loss-proposer"})

    def trains(self) -> frozenset[str]:
        return frozenset({"backbone"})

    def streams(self) -> frozenset[str]:
        return frozenset({"trial", "evaluated", "fusion"})
