"""The second validation phase: checks that every component of a recipe exists and its parameters are valid.

Imports no torch, unless a plugin does not declare a separate import path of a component's ``Config``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from fusekit.errors import FusekitError, PluginError
from fusekit.interfaces.config import ComponentConfig, ComponentRef
from fusekit.interfaces.dataset_config import DatasetConfig
from fusekit.plugin.loader import LOCAL_NAMESPACE
from fusekit.plugin.registry import Registry
from fusekit.recipe.diagnose import problems_of
from fusekit.recipe.fields import Reference, references
from fusekit.recipe.problems import Problem, RecipeProblems, dotted
from fusekit.recipe.strict import validate_plain
from fusekit.recipe.tree import Node, node_from_plain
from fusekit.words import nearest

MAX_DEPTH = 80  # keys; reached only by a component whose default parameters contain the component itself


@dataclass(frozen=True)
class Component:
    """A component that a recipe names, and its validated parameters.

    Attributes:
        reference: Its reference in the recipe.
        config: Its parameters; None if the recipe cannot set any, as for metrics.
    """

    reference: Reference
    config: ComponentConfig | None

    @property
    def label(self) -> str:
        """Kind and name, for messages: ``task 'toyseg.small'``."""
        return f"{self.reference.kind} {self.reference.ref.use!r}"


def validate_components(frame: BaseModel, registry: Registry, tree: Node) -> list[Component]:
    """Finds every component of a recipe, including those inside the parameters of others, and validates its parameters.

    Args:
        frame: The validated frame of the recipe.
        registry: The installed components.
        tree: The recipe, for positions.

    Returns:
        The components; each comes before those inside its own parameters.

    Raises:
        RecipeProblems: All unknown components and wrong parameters.
        PluginError: The recipe itself is valid, but plugins that it needs are missing or broken.
    """
    found: list[Component] = []
    problems: list[Problem] = []
    faults: list[PluginError] = []
    waiting = list(references(frame))
    while waiting:
        reference = waiting.pop(0)
        if len(reference.path) > MAX_DEPTH:
            message = f"{reference.kind} {reference.ref.use!r} cannot be used: its parameters contain itself"
            raise PluginError(message, hint="name the nested component in the recipe, or fix the plugin's defaults")
        problem = _unknown_component(reference, registry, tree)
        if problem is not None:
            problems.append(problem)
            continue
        try:
            registry.find(reference.kind, reference.ref.use)
            config = None if reference.bare else _configure(reference, registry)
        except ValidationError as error:
            owner = f"{reference.kind} {reference.ref.use!r}"
            model = registry.config_class(reference.kind, reference.ref.use)
            problems += problems_of(error, model, tree, reference.params_path, owner=owner)
            continue
        except PluginError as error:
            faults.append(with_position(error, reference, tree))
            continue
        found.append(Component(reference, config))
        if config is not None:
            waiting = [*references(config, reference.params_path), *waiting]
    if problems:
        raise RecipeProblems([*problems, *(Problem("", fault.message) for fault in faults)])
    if faults:
        raise _combined(faults)
    return found


def configure(kind: str, ref: ComponentRef, registry: Registry) -> ComponentConfig:
    """The validated parameters of one component.

    Raises:
        RecipeProblems: A parameter is wrong.
        PluginError: The component is missing or broken.
    """
    try:
        return _configure(Reference(kind, ref, ()), registry)
    except ValidationError as error:
        tree = node_from_plain({"params": ref.params})
        model = registry.config_class(kind, ref.use)
        raise RecipeProblems(problems_of(error, model, tree, ("params",), owner=f"{kind} {ref.use!r}")) from None


def resolved_plain(frame: BaseModel, components: Sequence[Component]) -> dict[str, Any]:
    """The recipe as plain data with every default filled in, including those of components."""
    plain: dict[str, Any] = frame.model_dump(mode="json", by_alias=True)
    for component in components:  # outer ones first: the dump of a config contains its inner references as given
        if component.config is None:
            continue
        holder: Any = plain
        for key in component.reference.path:
            holder = holder[key]
        holder["params"] = component.config.model_dump(mode="json", by_alias=True)
    return plain


def call_config(component: Component, method: str, *args: Any) -> Any:
    """Calls a method of a component's config.

    Raises:
        PluginError: The method raised an exception, which is a bug in the plugin.
    """
    try:
        return getattr(component.config, method)(*args)
    except FusekitError:
        raise
    except Exception as error:
        raise PluginError(
            f"{component.label} cannot be used: {method}() of its Config raised {type(error).__name__}: {error}",
            hint="this is a bug in the plugin; please report it to its authors",
        ) from error


def _configure(reference: Reference, registry: Registry) -> ComponentConfig:
    kind, ref = reference.kind, reference.ref
    model = registry.config_class(kind, ref.use)
    if kind == "dataset" and not issubclass(model, DatasetConfig):
        raise PluginError(f"dataset {ref.use!r} cannot be used: its Config is not a DatasetConfig")
    try:
        return validate_plain(model, ref.params)
    except ValidationError:
        raise
    except Exception as error:  # a validator of the plugin raised something other than a ValidationError
        raise PluginError(
            f"{kind} {ref.use!r} cannot be used: checking its parameters raised {type(error).__name__}: {error}",
            hint="this is a bug in the plugin; please report it to its authors",
        ) from error


def _unknown_component(reference: Reference, registry: Registry, tree: Node) -> Problem | None:
    """The problem of a name that no plugin has; None if it exists, or if its plugin is missing or broken."""
    kind, use = reference.kind, reference.ref.use
    names = [spec.name for spec in registry.specs(kind)]
    namespace = use.partition(".")[0]
    if use in names or any(r.namespace == namespace and r.state != "loaded" for r in registry.reports):
        return None
    if registry.absent(namespace) is not None:
        return None
    others = sorted({spec.kind for spec in registry.specs() if spec.name == use})
    message = f"{use!r} is of kind {others[0]}, not {kind}" if others else f"no {kind} named {use!r}"
    near = None if others else nearest(use, names)
    if near is None and not others and namespace == LOCAL_NAMESPACE:
        message += "; load the components of a local file with --with FILE.py"
    elif near is None and not others and not any(r.namespace == namespace for r in registry.reports):
        message += f"; no plugin {namespace!r} is installed (fusekit plugins list shows those that are)"
    elif near is None and names:
        message += f"; installed: {', '.join(names)}"
    place = reference.use_path
    return Problem(dotted(place), message, str(tree.where(place)), near)


def with_position(error: PluginError, reference: Reference, tree: Node) -> PluginError:
    """The same error, with the position in the recipe that needs the component."""
    place = reference.use_path
    where = f"{tree.where(place)} {dotted(place)}: ".lstrip()
    made = PluginError(where + error.message, hint=error.hint)
    made.__cause__ = error.__cause__ or error
    return made


def _combined(faults: Sequence[PluginError]) -> PluginError:
    hints = list(dict.fromkeys(fault.hint for fault in faults if fault.hint))
    combined = PluginError("\n".join(dict.fromkeys(f.message for f in faults)), hint="\n".join(hints) or None)
    combined.__cause__ = faults[0].__cause__
    return combined
