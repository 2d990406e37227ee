"""The trained weights that installed plugins ship, and addresses of model files. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from fusekit.errors import FusekitError, PluginError, UsageError
from fusekit.plugin.imports import load_target, one_line
from fusekit.plugin.loader import PluginReport
from fusekit.plugin.registry import Registry
from fusekit.plugin.specs import WeightsSpec

BUG = "this is a bug in the plugin; please report it to its authors (see: fusekit plugins show {})"


def shipped_weights(registry: Registry) -> list[WeightsSpec]:
    """The weights of all loaded plugins, fusekit's own first."""
    return [spec for _, spec in _declared(registry)]


def find_weights(name: str, registry: Registry) -> WeightsSpec | None:
    """The weights of that short or full name; None if there are none.

    fusekit's own weights keep their short name if a third-party plugin declares the same one.

    Raises:
        PluginError: Several third-party plugins declare weights of that short name.
    """
    found = [(report, spec) for report, spec in _declared(registry) if name in (spec.name, spec.short)]
    own = [(report, spec) for report, spec in found if report.builtin or spec.name == name]
    chosen = own or found
    if len(chosen) > 1:
        owners = " and ".join(sorted(f"{report.namespace} ({report.distribution})" for report, _ in chosen))
        full = ", ".join(spec.name for _, spec in chosen)
        raise PluginError(f"the plugins {owners} both ship weights {name!r}", hint=f"use a full name: {full}")
    return chosen[0][1] if chosen else None


def default_weights(task: str, registry: Registry) -> WeightsSpec | None:
    """The default weights of a task, fusekit's own before those of third-party plugins; None if there are none.

    Raises:
        PluginError: Several plugins declare default weights of the task.
    """
    found = [(report, spec) for report, spec in _declared(registry) if spec.default and spec.task == task]
    chosen = [(report, spec) for report, spec in found if report.builtin] or found
    if len(chosen) > 1:
        names = ", ".join(spec.name for _, spec in chosen)
        raise PluginError(f"there are several default weights for {task}: {names}", hint="choose one with --model")
    return chosen[0][1] if chosen else None


def weights_file(spec: WeightsSpec, registry: Registry) -> Path:
    """The model file of shipped weights.

    Raises:
        PluginError: The file is missing, or lies outside the plugin's package.
    """
    report = next(report for report, declared in _declared(registry) if declared == spec)
    folder = Path(report.origin).parent.resolve()
    path = (folder / spec.file).resolve()
    who = f"weights {spec.name!r} of {report.distribution} {report.version} cannot be used"
    if folder not in path.parents:
        raise PluginError(f"{who}: {spec.file} lies outside the plugin's package", hint=BUG.format(spec.namespace))
    if not path.is_file():
        hint = f"reinstall {report.distribution} (see: fusekit plugins show {spec.namespace})"
        raise PluginError(f"{who}: the file {spec.file} is missing from the plugin's package", hint=hint)
    return path


def resolve_address(address: str, registry: Registry) -> Path:
    """The local model file of an address such as ``hf://…``, found by the plugin that declares its scheme.

    Raises:
        UsageError: No plugin resolves addresses of that scheme, or the address is not valid.
        PluginError: The plugin fails.
        DataError: The address does not lead to a model file.
    """
    scheme = address.partition("://")[0]
    plugin = next((report for report in registry.reports if scheme in report.locations), None)
    if plugin is None:
        schemes = sorted({f"{scheme}://" for report in registry.reports for scheme in report.locations})
        raise UsageError(
            f"{address}: no installed plugin resolves addresses that begin with {scheme}://",
            hint=f"installed: {', '.join(schemes) or 'none'}",
        )
    try:
        return Path(load_target(plugin.locations[scheme])(address))
    except FusekitError:
        raise
    except Exception as error:
        raise PluginError(
            f"{address}: plugin {plugin.namespace!r} of {plugin.distribution} failed: {one_line(error)}",
            hint=BUG.format(plugin.namespace),
        ) from error


def _declared(registry: Registry) -> list[tuple[PluginReport, WeightsSpec]]:
    reports = sorted(registry.reports, key=lambda report: not report.builtin)
    return [(report, spec) for report in reports for spec in report.weights]
