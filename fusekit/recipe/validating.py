"""The third phase, for ``train.validate``: what is measured exists, and is no test scene. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from fusekit.recipe.components import Component, ask
from fusekit.recipe.problems import Problem, TreePath, dotted
from fusekit.recipe.schema import TrainSection, ValidationSection
from fusekit.recipe.tree import Node
from fusekit.words import nearest


def validation_problems(
    strategy: Component, section: TrainSection, dataset: Component, place: TreePath, tree: Node
) -> Iterator[Problem]:
    """What is wrong with the validation of a phase.

    Args:
        strategy: The phase's.
        section: The phase.
        dataset: The recipe's data.
        place: Where the phase stands in the recipe.
        tree: The recipe, for positions.
    """
    settings = section.validation
    if settings is None:
        return
    place = (*place, "validate")
    for at, message, suggestion in (
        *_of_loss(strategy, settings, place),
        *_of_metric(strategy, settings, place),
        *_of_scenes(dataset, settings, place),
    ):
        yield Problem(dotted(at), message, str(tree.where(at)), suggestion)


_Found = Iterator[tuple[TreePath, str, str | None]]


def _of_loss(strategy: Component, settings: ValidationSection, place: TreePath) -> _Found:
    if settings.loss is None:
        return
    known = sorted(ask(strategy, "losses"))
    if not known:
        yield (
            (*place, "loss"),
            f"{strategy.label} tells no loss without learning from it; give a metric in place of a loss",
            None,
        )
    elif settings.loss not in known:
        message = f"{strategy.label} tells no loss {settings.loss!r}; it tells {', '.join(known)}"
        yield (*place, "loss"), message, nearest(settings.loss, known)


def _of_metric(strategy: Component, settings: ValidationSection, place: TreePath) -> _Found:
    trained = ask(strategy, "trains")
    if settings.metric is not None and trained and "backbone" not in trained:
        losses = ", ".join(sorted(ask(strategy, "losses")))
        instead = f"; give a loss: {losses}" if losses else ""
        yield (
            (*place, "metric"),
            f"{strategy.label} does not train the fusion backbone, so fused images say nothing about it{instead}",
            None,
        )


def _of_scenes(dataset: Component, settings: ValidationSection, place: TreePath) -> _Found:
    if settings.holdout is not None:
        return
    unfit: str | None = ask(dataset, "unfit_for_validation")
    if unfit is not None:
        message = f"{unfit.rstrip('.')}. Or keep a share of the training scenes for it: holdout: 0.1"
        yield place, message, None
