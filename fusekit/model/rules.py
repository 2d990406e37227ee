"""Fusion rules by name: models without parameters, which need no training.

They take any number of sources, unless they declare a number.
"""

from __future__ import annotations

from string import ascii_lowercase

from pydantic import ValidationError

from fusekit.errors import PluginError, UsageError
from fusekit.interfaces.backbone import FusionBackbone
from fusekit.model.assembly import build_system
from fusekit.model.system import FusionSystem
from fusekit.plugin.registry import Registry, registry
from fusekit.plugin.shipped import shipped_weights
from fusekit.recipe.schema import ModelSection, PartComponentRef
from fusekit.words import did_you_mean


def rules(components: Registry | None = None) -> dict[str, str]:
    """Backbones without parameters: short name to component name, such as ``laplacian: baselines.laplacian``.

    A short name that two plugins use is ambiguous and left out; their components are then used by their full names.
    """
    known = components or registry()
    names_of: dict[str, list[str]] = {}
    for spec in known.specs("backbone"):
        try:
            trained = known.config_class("backbone", spec.name)().has_weights()
        except (PluginError, ValidationError):  # broken, or with required options: cannot be used by name alone
            continue
        if not trained:
            names_of.setdefault(spec.name.partition(".")[2], []).append(spec.name)
    return {short: names[0] for short, names in names_of.items() if len(names) == 1}


def rule_system(name: str, components: Registry | None = None) -> FusionSystem:
    """The system of a fusion rule; its roles are a, b, … if it takes a fixed number of sources, else empty.

    Args:
        name: Its short name (``mean``, ``max``, ``laplacian``, …) or component name.
        components: Registry in which it is looked up (default: the registry of the process).

    Raises:
        UsageError: No rule has that name.
    """
    known = rules(components)
    component = known.get(name, name if name in known.values() else None)
    if component is None:
        weights = sorted(spec.short for spec in shipped_weights(components or registry()))
        near = did_you_mean(name, [*known, *known.values(), *weights])
        raise UsageError(
            f"there is no model {name!r}: neither a model file, nor the folder of a run, nor a method{near}",
            hint=f"methods that need no training: {', '.join(sorted(known))}; "
            f"shipped weights: {', '.join(weights) or 'none'}",
        )
    section = ModelSection(backbone=PartComponentRef(use=component))
    found: type[FusionBackbone] = (components or registry()).component_class("backbone", component)
    roles = tuple(ascii_lowercase[: found.source_count or 0])
    return build_system(section, roles=roles, classes=None, components=components).eval()
