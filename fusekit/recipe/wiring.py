"""The third validation phase: checks that the parts of a recipe fit together. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from fusekit._version import __version__
from fusekit.errors import PluginError, UsageError
from fusekit.interfaces.context import ClassTable
from fusekit.plugin.catalogue import provider
from fusekit.plugin.loader import DISTRIBUTION
from fusekit.plugin.registry import Registry
from fusekit.recipe.components import Component, call_config, with_position
from fusekit.recipe.fields import field_kind, fields_of
from fusekit.recipe.model_card import ROLE
from fusekit.recipe.problems import Problem, RecipeProblems, TreePath, dotted
from fusekit.recipe.schema import ModelSection, PartComponentRef, RecipeModel, TrainSection
from fusekit.recipe.tree import Node
from fusekit.recipe.validate_section import validation_problems
from fusekit.words import nearest

LABELS, BOXES = "labels", "boxes"
"""Needs of a component that are not parts of the model but properties of the data."""

SEGMENTATION = "segmentation"
"""Task of a network that assigns a class to every pixel."""

_NOUNS = {
    "backbone": "a fusion backbone",
    "loss-proposer": "a loss proposer",
    "reconstruction": "a reconstruction head",
    "task": "a task network",
    "guidance": "guidance",
}


def check_requirements(frame: RecipeModel, tree: Node) -> None:
    """Checks the distributions that a recipe ``requires``; called before its components, which they may provide.

    Raises:
        RecipeProblems: An entry is not a valid requirement.
        PluginError: A distribution is not installed, or has another version.
    """
    problems, unmet, install, advice = [], [], [], []
    for index, text in enumerate(frame.requires):
        path = ("requires", index)
        where = str(tree.where(path))
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            message = f"{text!r} is not a valid requirement; write it as `fusekit-toyseg>=0.1`"
            problems.append(Problem(dotted(path), message, where))
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _installed(requirement.name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            state = "it is not installed" if version is None else f"version {version} is installed"
            unmet.append(str(Problem(dotted(path), f"this recipe requires {requirement}; {state}", where)))
            known = provider(canonicalize_name(requirement.name))
            if known is not None:
                advice.append(known.advice)
            else:
                install.append(f"'{requirement}'")
    if problems:
        raise RecipeProblems(problems)
    if unmet:
        command = [f"pip install {' '.join(install)}"] if install else []
        raise PluginError("\n".join(unmet), hint="\n".join([*command, *advice]))


def check_wiring(frame: RecipeModel, components: Sequence[Component], tree: Node, registry: Registry) -> None:
    """Checks that the model has every part that its components need, and that class counts agree.

    Args:
        frame: The validated frame of the recipe.
        components: Every component that it names.
        tree: The recipe, for positions.
        registry: The installed components, from which the message for a missing part suggests one.

    Raises:
        RecipeProblems: All problems found.
        PluginError: A component needs a kind of part that recipes do not have.
    """
    dataset = next(c for c in components if c.reference.path == ("data",))
    task = next((c for c in components if c.reference.path == ("model", part_fields()["task"])), None)
    classes: ClassTable | None = call_config(dataset, "classes")
    problems = [
        Problem(
            dotted(dataset.reference.use_path),
            f"{dataset.label} has the role {role[:60]!r}, which cannot be used in a file name",
            str(tree.where(dataset.reference.use_path)),
        )
        for role in call_config(dataset, "roles")
        if re.fullmatch(ROLE, role) is None
    ]
    for component in components:
        if component.config is None:
            continue
        try:
            missing = _missing(component, frame, task, call_config(dataset, "annotations"))
            untrainable = _untrainable_parts(component, components)
            phase_problems = _problems_of_phase(component, frame, dataset, tree)
            count = _class_count(component)
        except PluginError as error:
            raise with_position(error, component.reference, tree) from error
        place = component.reference.use_path
        problems += [
            Problem(dotted(place), f"{component.label} needs {what}", str(tree.where(place)))
            for what in (_lack(need, dataset, task, registry) for need in missing)
        ]
        problems += [
            Problem(
                dotted(place),
                f"{component.label} trains {_NOUNS.get(part.reference.kind, part.reference.kind)}; {part.label} has "
                f"no trainable parameters: choose another",
                str(tree.where(place)),
            )
            for part in untrainable
        ]
        problems += phase_problems
        if component.reference.kind == "transform":
            try:
                call_config(component, "changed_roles", call_config(dataset, "roles"))
            except UsageError as error:
                problems.append(Problem(dotted(place), f"{component.label}: {error.message}", str(tree.where(place))))
        if classes is not None and count is not None and count != len(classes):
            problems.append(_count_problem(component, count, dataset, classes, tree))
    if problems:
        raise RecipeProblems(problems)


def part_fields() -> dict[str, str]:
    """Kind of part → its key under ``model``."""
    return {kind: key for key, info in fields_of(ModelSection).items() if (kind := field_kind(info)) is not None}


def _missing(component: Component, frame: RecipeModel, task: Component | None, data: frozenset[str]) -> list[str]:
    """Needs of a component that the recipe does not meet."""
    fields = part_fields()
    needs = _needs(component)
    if task is not None and LABELS in needs and BOXES in call_config(task, "needs"):
        needs = needs - {LABELS} | {BOXES}
    for need in sorted(needs - set(fields) - {LABELS, BOXES}):
        if not need.startswith("task:"):
            raise PluginError(
                f"{component.label} cannot be used: it needs {need!r}, which is not a part of a recipe; "
                f"parts are {', '.join([*fields, LABELS, BOXES])}",
                hint="this is a bug in the plugin; please report it to its authors",
            )
    present = {kind for kind, key in fields.items() if getattr(frame.model, key) is not None} | data
    if task is not None:
        present |= {f"task:{solved}" for solved in call_config(task, "solves")}
    missing = needs - present
    return sorted(missing - {"task"} if any(need.startswith("task:") for need in missing) else missing)


def _needs(component: Component) -> set[str]:
    """Declared needs, and those that follow from the kind: a segmentation network needs labels.

    A task network from a model file is already trained, so it needs no annotated data.
    """
    ref, needs = component.reference.ref, set(call_config(component, "needs"))
    if component.reference.kind != "task":
        return needs
    if isinstance(ref, PartComponentRef) and ref.weights_from is not None:
        return needs - {LABELS, BOXES}
    return needs | {LABELS} if SEGMENTATION in call_config(component, "solves") else needs


def _untrainable_parts(strategy: Component, components: Sequence[Component]) -> list[Component]:
    """Parts that a strategy trains but that have no trainable parameters."""
    if strategy.reference.kind != "strategy":
        return []
    wanted = {("model", part_fields()[kind]) for kind in call_config(strategy, "trains") if kind in part_fields()}
    return [
        c
        for c in components
        if c.reference.path in wanted and c.config is not None and not call_config(c, "has_weights")
    ]


def _frozen_parts(strategy: Component, frame: RecipeModel, tree: Node) -> list[Problem]:
    """Parts that a strategy trains although the recipe freezes them."""
    problems = []
    for kind in sorted(call_config(strategy, "trains")):
        name = part_fields().get(kind, "")
        part = getattr(frame.model, name, None)
        if isinstance(part, PartComponentRef) and part.freeze:
            place = ("model", name, "freeze")
            message = (
                f"{strategy.label} trains {_NOUNS.get(kind, kind)}, but model.{name} is frozen; choose options that do "
                f"not train it (fusekit plugins show {strategy.reference.ref.use} lists them), or remove freeze"
            )
            problems.append(Problem(dotted(place), message, str(tree.where(place))))
    return problems


def _problems_of_phase(strategy: Component, frame: RecipeModel, dataset: Component, tree: Node) -> list[Problem]:
    """Problems of a training phase with its strategy and the data."""
    if strategy.reference.kind != "strategy":
        return []
    place = strategy.reference.path[:-1]
    section = frame.train if place == ("train",) else frame.pretrain[str(place[-1])]
    assert section is not None
    return [
        *_frozen_parts(strategy, frame, tree),
        *_unknown_streams(strategy, section, place, tree),
        *validation_problems(strategy, section, dataset, place, tree),
    ]


def _unknown_streams(strategy: Component, section: TrainSection, phase: TreePath, tree: Node) -> list[Problem]:
    """Streams for which a phase sets a sampling but from which its strategy never draws."""
    known = call_config(strategy, "streams")
    problems = []
    for name in section.streams:
        if name not in known:
            place = (*phase, "streams", name)
            message = f"{strategy.label} does not draw from a stream {name!r}; its streams: {', '.join(sorted(known))}"
            where = str(tree.where(place, key=True))
            problems.append(Problem(dotted(place), message, where, nearest(name, sorted(known))))
    return problems


def _lack(need: str, dataset: Component, task: Component | None, registry: Registry) -> str:
    if need in (LABELS, BOXES):
        choice = "a class table" if need == LABELS else "boxes, or set the option of the data that reads them"
        return f"{need}; {dataset.label} has none: choose data with {choice}"
    kind, _, wanted = need.partition(":")
    if wanted:
        lack = "the recipe has none: add model.task"
        if task is not None:
            solved = ", ".join(sorted(call_config(task, "solves"))) or "something else"
            lack = f"{task.label} solves {solved}: choose another"
        return f"{_NOUNS[kind]} for {wanted}; {lack}"
    installed = [spec.name for spec in registry.specs(need)] if need in part_fields() else []
    only = f" {{use: {installed[0]}}}" if len(installed) == 1 else ""  # if there are several, `plugins list` shows them
    return f"{_NOUNS.get(need, need)}; the recipe has none: add model.{part_fields()[need]}{only}"


def _count_problem(component: Component, count: int, dataset: Component, classes: ClassTable, tree: Node) -> Problem:
    params = component.reference.params_path
    written = tree.find(params)
    keys = [k for k in ("classes", "num_classes") if written is not None and written.child(k) is not None]
    place: TreePath = (*params, keys[0]) if keys else component.reference.use_path
    shown = ", ".join(classes.names[:4]) + (", …" if len(classes) > 4 else "")
    message = (
        f"{component.label} is made for {count} classes, but {dataset.label} has {len(classes)} ({shown}); "
        f"the two must agree"
    )
    return Problem(dotted(place), message, str(tree.where(place)))


def _class_count(component: Component) -> int | None:
    """Number of classes that the parameters of a component fix, or None."""
    count: int | None = call_config(component, "class_count")
    return count


def _installed(name: str) -> str | None:
    if canonicalize_name(name) == DISTRIBUTION:
        return __version__  # also where fusekit runs from a source tree without metadata
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
