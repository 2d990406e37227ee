"""The model with which sources are fused if the user names none: the default weights of the task, or a pyramid.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fusekit.errors import UsageError
from fusekit.plugin.registry import Registry, registry
from fusekit.plugin.shipped import default_weights, shipped_weights, weights_file
from fusekit.plugin.specs import WeightsSpec
from fusekit.recipe.model_card import read_card
from fusekit.words import did_you_mean

PYRAMID = "laplacian"
"""Method that fuses any number of sources without training."""

TASKS = ("infrared-visible", "medical", "multi-focus", "multi-exposure")
"""Tasks that can always be named; plugins can ship weights for further ones."""


@dataclass(frozen=True)
class Choice:
    """A chosen model.

    Attributes:
        model: Argument of `fusekit.load`.
        note: One sentence about the choice; empty if the user need not be told.
    """

    model: str
    note: str = ""


def choose_model(
    task: str | None, count: int, roles: Collection[str] = (), components: Registry | None = None
) -> Choice:
    """Chooses the model for a number of sources.

    Args:
        task: Task that the user names; None stands for ``infrared-visible``.
        count: Number of sources.
        roles: Roles that the user names.
        components: Registry that provides the weights (default: the registry of the process).

    Raises:
        UsageError: No task has that name.
        PluginError: The default weights of the task cannot be used.
    """
    known = components or registry()
    wanted = task or TASKS[0]
    names = dict.fromkeys([*TASKS, *(spec.task for spec in shipped_weights(known))])
    if wanted not in names:
        raise UsageError(f"no task {wanted!r}{did_you_mean(wanted, names)}", hint=f"tasks are {', '.join(names)}")
    spec = default_weights(wanted, known)
    if spec is None:
        others = [other.short for other in shipped_weights(known) if other.task == wanted]
        note = f"no weights for {wanted} are installed: {_PYRAMID_USED}"
        if others:
            note = f"fused by the method {PYRAMID}, the default for {wanted} (--model {others[0]} uses trained weights)"
        return Choice(PYRAMID, note if task is not None else "")
    card = read_card(weights_file(spec, known))
    if count > len(card.roles):
        return Choice(PYRAMID, f"{spec.short} fuses {len(card.roles)} sources, not {count}: {_PYRAMID_USED}")
    unknown = [role for role in roles if role not in card.roles]
    if unknown:
        return Choice(PYRAMID, f"{spec.short} has no role {unknown[0]!r}: {_PYRAMID_USED}")
    return Choice(spec.name, _sentence(spec, str(card.provenance.get("data", "")), card.roles))


_PYRAMID_USED = f"fused by the method {PYRAMID} instead, without training"


def _sentence(spec: WeightsSpec, data: str, roles: tuple[str, ...]) -> str:
    trained = f", trained on {data}" if data else ""
    return (
        f"weights {spec.short}{trained}; sources are {', '.join(roles)} in this order "
        f"(--task or --model choose another model, --model {PYRAMID} uses none)"
    )
