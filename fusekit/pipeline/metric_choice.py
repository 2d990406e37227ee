"""Selection of metric components by dialect and by name, with suggestions for misspelt names."""

from __future__ import annotations

from collections.abc import Sequence

from fusekit.errors import PluginError, UsageError
from fusekit.interfaces.metric import Metric
from fusekit.plugin.registry import Registry
from fusekit.plugin.specs import ComponentSpec
from fusekit.words import did_you_mean


def choose_metrics(
    registry: Registry, dialects: Sequence[str], names: Sequence[str], *, ideal: bool
) -> tuple[list[str], tuple[str, ...]]:
    """The metric components of a table.

    Args:
        registry: Registry of the components.
        dialects: Dialects of which all metrics are chosen; empty for the metrics that plugins declare for tables.
        names: Names of components, such as ``strict.qabf``, or without the namespace, such as ``qabf``, if only one of
            the chosen metrics has this name. Only these are chosen; without dialects, they may be any component.
        ideal: Whether the ideal fused image is known. Without it, metrics that need it are left out.

    Returns:
        The names of the components without duplicates, and notes for the user.

    Raises:
        UsageError: A dialect or name is unknown or ambiguous, or no metric is left.
        PluginError: A named component belongs to a plugin that cannot be used.
    """
    notes: tuple[str, ...] = ()
    if dialects:
        specs, notes = _of_dialects(registry, dialects)
    else:
        specs = registry.for_tables("metric") + registry.for_tables("metric", needs_ideal=True)
    if names:
        specs = [_named(registry, name, specs, only=bool(dialects), ideal=ideal) for name in names]
    chosen = list(dict.fromkeys(spec.name for spec in specs if ideal or not spec.needs_ideal))
    needing = [spec.name for spec in specs if spec.needs_ideal and not ideal]
    if needing and (names or not chosen):
        raise UsageError(f"{', '.join(needing)}: needs the ideal fused image", hint="give it with --ideal PATH")
    if not chosen:
        raise UsageError(
            "no plugin declares a metric for tables", hint="name metrics: fusekit plugins list --kind metric"
        )
    return chosen, notes


def _of_dialects(registry: Registry, dialects: Sequence[str]) -> tuple[list[ComponentSpec], tuple[str, ...]]:
    """The metrics of the dialects, in the order of declaration, and notes about metrics that cannot be imported."""
    known: dict[str, list[ComponentSpec]] = {}
    notes = []
    declared = [spec for report in registry.reports for spec in report.components if spec.kind == "metric"]
    for spec in declared:
        try:
            found = registry.component_class("metric", spec.name)
        except PluginError as error:
            notes.append(f"metric {spec.name} is left out: {error.message}")
            continue
        assert issubclass(found, Metric)
        known.setdefault(found.dialect, []).append(spec)
    for dialect in dialects:
        if dialect not in known:
            raise UsageError(
                f"no metric has the dialect {dialect!r}{did_you_mean(dialect, known)}",
                hint=f"installed metrics have the dialects {', '.join(sorted(known))}",
            )
    return [spec for dialect in dict.fromkeys(dialects) for spec in known[dialect]], tuple(notes)


def _named(registry: Registry, name: str, specs: Sequence[ComponentSpec], *, only: bool, ideal: bool) -> ComponentSpec:
    """The metric of this name; one of `specs` if `only`. A short name prefers a metric that can be computed."""
    everything = {spec.name: spec for spec in registry.specs("metric")}
    allowed = {spec.name: spec for spec in specs} if only else everything
    if name in allowed:
        return allowed[name]
    short = [spec for spec in specs if spec.name.partition(".")[2] == name]
    short = [spec for spec in short if ideal or not spec.needs_ideal] or short
    if len(short) == 1:
        return short[0]
    if len(short) > 1:
        listed = ", ".join(spec.name for spec in short)
        raise UsageError(f"--metric {name} is ambiguous", hint=f"choose one of {listed}")
    if only and name in everything:
        raise UsageError(f"metric {name} is not of the chosen dialect", hint=f"choose one of {', '.join(allowed)}")
    if not only and "." in name:
        namespace = name.partition(".")[0]
        if registry.absent(namespace) or any(
            r.namespace == namespace and r.state != "loaded" for r in registry.reports
        ):
            return registry.find("metric", name)  # raises an error that says which plugin is missing or broken
    words = [*allowed, *(spec.name.partition(".")[2] for spec in specs)]
    raise UsageError(
        f"no metric named {name!r}{did_you_mean(name, words)}",
        hint=f"choose one of {', '.join(allowed)}" if only else "fusekit plugins list --kind metric shows all metrics",
    )
