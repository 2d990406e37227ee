"""How a component describes its parameters. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "BackboneRef",
    "ComponentConfig",
    "ComponentRef",
    "DatasetRef",
    "Field",
    "GuidanceRef",
    "LossTermConfig",
    "LossTermRef",
    "NestedKind",
    "ObjectiveRef",
    "ObserverRef",
    "PathwayRef",
    "ProposerRef",
    "StageRef",
    "StrategyRef",
    "TaskRef",
    "term_names",
]


class ComponentConfig(BaseModel):
    """Base of every component's ``Config``: frozen, no unknown keys, every field described.

    A recipe's ``params`` are validated against it (strictly: a text is never taken for a number). Give each
    field a ``description``: it is the documentation that users see in ``fusekit plugins show``.

    A field may hold another component; write its type as one of the references below
    (``stage: StageRef = ComponentRef(use="uaafusion.stage")``) and build it with `BuildContext.build`.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def needs(self) -> frozenset[str]:
        """Kinds of part that must stand beside this component, such as ``{"task"}``; ``"labels"`` asks for labels.

        ``"task:segmentation"`` asks for a task network whose Config says that it solves that (`solves`), as a
        guidance by attribution to the regions of classes does; ``"task"`` takes any. ``"guidance"`` asks for a
        guidance, whichever task network that takes.

        Checked before anything is built, so that a recipe that lacks a part is refused with a sentence.
        May depend on the options.
        """
        return frozenset()

    def solves(self) -> frozenset[str]:
        """What a task network solves: ``segmentation`` where its class is a `SegmentationNetwork`, as most are.

        One that gives no class to every pixel says what it does instead, such as ``{"classification"}`` or
        ``{"detection"}``; a component that asks for another is then refused to stand beside it.
        """
        return frozenset({"segmentation"})

    def class_count(self) -> int | None:
        """Number of classes that the parameters fix; must be the dataset's. None where they fix none."""
        return None

    def needs_second_order(self) -> bool:
        """Whether the task network beside this component will be differentiated twice."""
        return False

    def has_weights(self) -> bool:
        """Whether the component has weights that training can change. False for rules and fixed proposals."""
        return True

    def trains(self) -> frozenset[str]:
        """Kinds of part that a strategy changes, and that must therefore have weights, such as ``{"backbone"}``."""
        return frozenset()

    def streams(self) -> frozenset[str]:
        """Streams of training data that a strategy draws from, which ``train.streams`` of a recipe may name."""
        return frozenset({"train"})

    def losses(self) -> frozenset[str]:
        """Losses that a strategy can tell without learning (`Strategy.losses`), for ``train.validate.loss``."""
        return frozenset()


class LossTermConfig(ComponentConfig):
    """Base of the options of a loss term. A term that uses the proposed weights needs a ``loss-proposer``."""

    weight: float = Field(1.0, ge=0, description="weight of the term in the fusion loss")


class ComponentRef(BaseModel):
    """A component by name, with its parameters: ``{use: uaafusion.stage, params: {channels: 32}}``."""

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    use: str = Field(description="name of the component, `namespace.component`")
    params: dict[str, Any] = Field(default_factory=dict, description="its parameters, checked by its own Config")


@dataclass(frozen=True)
class NestedKind:
    """Marks a reference field with the kind of component that it takes."""

    kind: str


BackboneRef = Annotated[ComponentRef, NestedKind("backbone")]
ProposerRef = Annotated[ComponentRef, NestedKind("loss-proposer")]
TaskRef = Annotated[ComponentRef, NestedKind("task")]
StageRef = Annotated[ComponentRef, NestedKind("stage")]
DatasetRef = Annotated[ComponentRef, NestedKind("dataset")]
StrategyRef = Annotated[ComponentRef, NestedKind("strategy")]
GuidanceRef = Annotated[ComponentRef, NestedKind("guidance")]
PathwayRef = Annotated[ComponentRef, NestedKind("pathway")]
LossTermRef = Annotated[ComponentRef, NestedKind("loss-term")]
ObjectiveRef = Annotated[ComponentRef, NestedKind("objective")]
ObserverRef = Annotated[ComponentRef, NestedKind("observer")]


def term_names(terms: Sequence[ComponentRef]) -> list[str]:
    """Names of loss terms in logs: those of the components without the namespace, numbered from the second use on."""
    names: list[str] = []
    for term in terms:
        name = term.use.partition(".")[2]
        uses = [other.use for other in terms[: len(names)]].count(term.use)
        names.append(f"{name}_{uses + 1}" if uses else name)
    return names
