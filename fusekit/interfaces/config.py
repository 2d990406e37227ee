"""Description of a component's parameters. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field

from fusekit.errors import UsageError


class ComponentConfig(BaseModel):
    """Base class of every component's ``Config``: frozen, no unknown keys, every field described.

    A recipe's ``params`` are validated against it (strictly: text is never converted to a number). Give each
    field a ``description``: it is the documentation that users see in ``fusekit plugins show``.

    A field may hold another component; declare its type as one of the references below
    (``stage: StageRef = ComponentRef(use="uaafusion.stage")``) and build it with `BuildContext.build`.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    def needs(self) -> frozenset[str]:
        """Kinds of part that the model must have for this component, such as ``{"task"}``; ``"labels"``: labels.

        ``"boxes"`` requires data with boxes. If the task network needs boxes, they are its labels: a strategy that
        needs ``"labels"`` then requires boxes instead of label maps. A task network from a model file is already
        trained, so it needs neither.

        ``"task:segmentation"`` requires a task network whose Config declares that it solves segmentation (`solves`),
        as guidance by attribution to the regions of classes does; ``"task"`` accepts any. ``"guidance"`` requires a
        guidance component, whichever task network that takes.

        Checked before anything is built, so that a recipe that lacks a part is refused with a clear message.
        May depend on the options.
        """
        return frozenset()

    def solves(self) -> frozenset[str]:
        """Tasks that a task network solves: ``segmentation`` if its class is a `SegmentationNetwork`, as most are.

        A `DetectionNetwork` returns ``{"detection"}``.

        A network that does not assign a class to every pixel returns its own task, such as ``{"classification"}`` or
        ``{"detection"}``; a recipe that combines it with a component that needs another task is then refused.
        """
        return frozenset({"segmentation"})

    def class_count(self) -> int | None:
        """Number of classes that the parameters fix; must equal the dataset's. None if they fix no number."""
        return None

    def needs_second_order(self) -> bool:
        """Whether this component differentiates the task network twice."""
        return False

    def has_weights(self) -> bool:
        """Whether the component has trainable parameters. False for fixed rules and fixed proposals."""
        return True

    def trains(self) -> frozenset[str]:
        """Kinds of part that a strategy trains; they must have trainable parameters, such as ``{"backbone"}``."""
        return frozenset()

    def streams(self) -> frozenset[str]:
        """Streams of training data that a strategy draws from; ``train.streams`` of a recipe may name these."""
        return frozenset({"train"})

    def losses(self) -> frozenset[str]:
        """Losses that a strategy can compute without training (`Strategy.losses`), for ``train.validate.loss``."""
        return frozenset()


class LossTermConfig(ComponentConfig):
    """Base of the options of a loss term. A term that uses the proposed weights needs a ``loss-proposer``."""

    weight: float = Field(1.0, ge=0, description="weight of the term in the fusion loss")


Severity = Literal["light", "medium", "heavy"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""Severities of a degradation, in increasing order."""

_Number = TypeVar("_Number")

PerSeverity = Annotated[dict[Severity, _Number], Field(min_length=len(SEVERITIES))]
"""Option of a transform with one number per severity: ``sigma: PerSeverity[float] = Field({"light": 1.0, …})``."""


class TransformConfig(ComponentConfig):
    """Base of the options of a transform."""

    roles: tuple[str, ...] | None = Field(None, min_length=1, description="roles to change; default: those it suits")

    def suited_roles(self, roles: tuple[str, ...]) -> tuple[str, ...]:
        """Roles of a scene that are changed if the option `roles` is not given; all, unless a Config overrides it."""
        return roles

    def changed_roles(self, roles: tuple[str, ...]) -> tuple[str, ...]:
        """Roles that are changed in scenes with the given roles.

        Raises:
            UsageError: The scenes do not have a role of the option `roles`, or no role is suited.
        """
        chosen = self.roles or self.suited_roles(roles)
        unknown = ", ".join(role for role in chosen if role not in roles)
        if unknown or not chosen:
            what = f"not {unknown}" if unknown else "none of which it suits; the option `roles` can name one anyway"
            raise UsageError(f"the scenes have the roles {', '.join(roles)}, {what}")
        return chosen


class ComponentRef(BaseModel):
    """Reference to a component by name, with its parameters: ``{use: uaafusion.stage, params: {channels: 32}}``."""

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
TransformRef = Annotated[ComponentRef, NestedKind("transform")]


def term_names(terms: Sequence[ComponentRef]) -> list[str]:
    """Names of loss terms in logs: those of the components without the namespace, numbered from the second use on."""
    names: list[str] = []
    for term in terms:
        name = term.use.partition(".")[2]
        uses = [other.use for other in terms[: len(names)]].count(term.use)
        names.append(f"{name}_{uses + 1}" if uses else name)
    return names
