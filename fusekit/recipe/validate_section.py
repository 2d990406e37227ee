"""The third validation phase, for ``train.validate``: checks its metric or loss and its scenes. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from fusekit.recipe.components import Component, call_config
from fusekit.recipe.problems import Problem, TreePath, dotted
from fusekit.recipe.schema import TrainSection, ValidationSection
from fusekit.recipe.tree import Node
from fusekit.words import nearest


def validation_problems(
    strategy: Component, section: TrainSection, dataset: Component, place: TreePath, tree: Node
) -> Iterator[Problem]:
    """Problems of the validation section of a training phase.

    Args:
        strategy: Strategy of the phase.
        section: Section of the phase.
        dataset: The recipe's dataset.
        place: Path of the phase in the recipe.
        tree: The recipe, for positions.
    """
    settings = section.validation
    if settings is None:
        return
    place = (*place, "validate")
    for at, message, suggestion in (
        *_loss_problems(strategy, settings, place),
        *_metric_problems(strategy, settings, place),
        *_scene_problems(dataset, settings, place),
    ):
        yield Problem(dotted(at), message, str(tree.where(at)), suggestion)


_Problems = Iterator[tuple[TreePath, str, str | None]]


def _loss_problems(strategy: Component, settings: ValidationSection, place: TreePath) -> _Problems:
    if settings.loss is None:
        return
    known = sorted(call_config(strategy, "losses"))
    if not known:
        yield (
            (*place, "loss"),
            f"{strategy.label} cannot compute a loss without training on it; give a metric instead of a loss",
            None,
        )
    elif settings.loss not in known:
        message = f"{strategy.label} does not report a loss {settings.loss!r}; it reports {', '.join(known)}"
        yield (*place, "loss"), message, nearest(settings.loss, known)


def _metric_problems(strategy: Component, settings: ValidationSection, place: TreePath) -> _Problems:
    trained = call_config(strategy, "trains")
    if settings.metric is not None and trained and "backbone" not in trained:
        losses = ", ".join(sorted(call_config(strategy, "losses")))
        instead = f"; give a loss: {losses}" if losses else ""
        yield (
            (*place, "metric"),
            f"{strategy.label} does not train the fusion backbone, so a metric of fused images does not measure its "
            f"progress{instead}",
            None,
        )


def _scene_problems(dataset: Component, settings: ValidationSection, place: TreePath) -> _Problems:
    if settings.holdout is not None:
        return
    unfit: str | None = call_config(dataset, "unfit_for_validation")
    if unfit is not None:
        message = f"{unfit.rstrip('.')}. Or hold out a fraction of the training scenes: holdout: 0.1"
        yield place, message, None
