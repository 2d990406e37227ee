"""The component registry: looks components up by name, and imports their classes when they are used."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from fusekit.errors import PluginError, UsageError
from fusekit.interfaces.config import ComponentConfig
from fusekit.interfaces.kinds import KINDS
from fusekit.plugin.catalogue import KnownPlugin, catalogue, provider
from fusekit.plugin.imports import former_name, load_target, local_file, local_module, missing_package, one_line
from fusekit.plugin.loader import LOCAL_NAMESPACE, PluginPolicy, PluginReport, load_local, load_plugins
from fusekit.plugin.specs import ComponentSpec
from fusekit.words import did_you_mean


class Registry:
    """The components of all loaded plugins.

    Args:
        reports: The loader's report on every plugin.
    """

    def __init__(self, reports: Sequence[PluginReport]) -> None:
        self.reports = list(reports)
        self._specs: dict[tuple[str, str], ComponentSpec] = {}
        for report in self.reports:
            self._specs.update({(s.kind, s.name): s for s in report.components})

    def add_local(self, path: Path) -> PluginReport:
        """Adds the components of a local file under the namespace ``local.``.

        Raises:
            PluginError: The file cannot be loaded, or it defines a component that another file defines already.
            UsageError: The file does not exist, or another file of the same name was added before.
        """
        file = local_file(path)
        # Adding the same file again replaces its components, as in a notebook; another file is never replaced.
        others = [r for r in self.reports if r.distribution != str(file)]
        for other in others:
            if other.namespace == LOCAL_NAMESPACE and local_module(Path(other.distribution)) == local_module(file):
                raise UsageError(f"--with {path}: {other.value} has the same name", hint="rename one of the two files")
        report = load_local(path)
        if report.state != "loaded":
            raise PluginError(
                f"--with {path}: {report.reason}", hint=f"{report.hint}; --debug shows the traceback"
            ) from RuntimeError(report.trace)
        taken = {(s.kind, s.name): r for r in others for s in r.components}
        for spec in report.components:
            if (spec.kind, spec.name) in taken:
                first = taken[spec.kind, spec.name].value
                raise PluginError(
                    f"--with {path}: {first} already defines a {spec.kind} {spec.name!r}",
                    hint="rename one of the two components",
                )
        self.reports = [*others, report]
        self._specs = {(s.kind, s.name): s for r in self.reports for s in r.components}
        return report

    def specs(self, kind: str | None = None) -> list[ComponentSpec]:
        """All components, or those of one kind, sorted by name."""
        return sorted(
            (s for s in self._specs.values() if kind is None or s.kind == kind),
            key=lambda s: (s.kind, s.name),
        )

    def for_tables(self, kind: str, *, needs_ideal: bool = False) -> list[ComponentSpec]:
        """Metrics or backbones that are in tables by default, in the order of declaration."""
        return [s for s in self._specs.values() if s.kind == kind and s.in_tables and s.needs_ideal == needs_ideal]

    def find(self, kind: str, name: str) -> ComponentSpec:
        """The component of that kind and name.

        Raises:
            PluginError: It does not exist; the message names the nearest name, another kind of that name, or the
                problem of the plugin that should provide it.
        """
        spec = self._specs.get((kind, name))
        if spec is not None:
            return spec
        others = [s.kind for s in self._specs.values() if s.name == name]
        if others:
            raise PluginError(f"{name!r} is of kind {others[0]}, not {kind}")
        namespace = name.partition(".")[0]
        failed = [r for r in self.reports if r.namespace == namespace and r.state != "loaded"]
        if failed:
            report = failed[0]
            more = f"see: fusekit plugins show {namespace}"
            raise PluginError(
                f"no {kind} {name!r}: plugin {namespace!r} of {report.distribution} "
                f"is {'in ' if report.state == 'conflict' else ''}{report.state}: {report.reason}",
                hint=f"{report.hint}; {more}" if report.hint else more,
            )
        known = self.absent(namespace)
        if known is not None:
            raise PluginError(
                f"no {kind} named {name!r}: plugin {namespace!r} is not installed; {known.distribution} provides it",
                hint=known.advice,
            )
        names = [s.name for s in self.specs(kind)]
        suggestion = did_you_mean(name, names)
        hint = None if suggestion else f"fusekit plugins list --kind {kind} shows what is installed"
        if namespace == LOCAL_NAMESPACE:
            hint = "load the components of a local file with --with FILE.py"
        raise PluginError(f"no {kind} named {name!r}{suggestion}", hint=hint)

    def absent(self, namespace: str) -> KnownPlugin | None:
        """The plugin of the catalogue that has this namespace, if no installed plugin has it."""
        return None if any(r.namespace == namespace for r in self.reports) else catalogue().get(namespace)

    def no_plugin(self, name: str) -> PluginError:
        """The error for a requested plugin, distribution or component whose plugin is not installed."""
        namespace = name.partition(".")[0]
        known = self.absent(namespace) or provider(name)
        if known is not None:
            return PluginError(
                f"plugin {known.namespace!r} of {known.distribution} is not installed", hint=known.advice
            )
        near = did_you_mean(namespace, [report.namespace for report in self.reports])
        return PluginError(f"no plugin {namespace!r}{near}", hint="fusekit plugins list shows what is installed")

    def config_class(self, kind: str, name: str) -> type[ComponentConfig]:
        """A component's ``Config``; imports no torch if the spec declares the import path of the ``Config``.

        Raises:
            PluginError: The component is missing or broken.
        """
        spec = self.find(kind, name)
        if spec.config is None:
            return self._config_of(spec, self.component_class(kind, name))
        config = self._load(spec, spec.config)
        if not (isinstance(config, type) and issubclass(config, ComponentConfig)):
            raise self._fault(spec, f"{spec.config} is not a ComponentConfig")
        return config

    def component_class(self, kind: str, name: str) -> type:
        """A component's class, imported and checked against the interface of its kind.

        Raises:
            PluginError: The component is missing, its import fails, or it violates the contract.
        """
        spec = self.find(kind, name)
        found = self._load(spec, spec.target)
        interface = load_target(KINDS[kind])
        if not (isinstance(found, type) and issubclass(found, interface)):
            raise self._fault(spec, f"{spec.target} is not a {interface.__name__}")
        if inspect.isabstract(found):
            abstract = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
            raise self._fault(spec, f"{spec.target} does not implement {abstract}")
        config = self._config_of(spec, found)
        if spec.config is not None and self._load(spec, spec.config) is not config:
            raise self._fault(spec, f"the Config of {spec.target} is not {spec.config}")
        return found

    def _config_of(self, spec: ComponentSpec, found: type) -> type[ComponentConfig]:
        config = getattr(found, "Config", None)
        if not (isinstance(config, type) and issubclass(config, ComponentConfig)):
            raise self._fault(spec, f"{spec.target} has no Config that is a ComponentConfig")
        return config

    def _load(self, spec: ComponentSpec, target: str) -> object:
        try:
            return load_target(target)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit and panics of compiled extensions are not subclasses of Exception
            raise self._fault(spec, one_line(error), former_name(error) or missing_package(error)) from error

    def _fault(self, spec: ComponentSpec, what: str, advice: str | None = None) -> PluginError:
        report = next((r for r in self.reports if spec in r.components), None)
        owner = f" (from {report.distribution} {report.version})" if report else ""
        return PluginError(
            f"{spec.kind} {spec.name!r}{owner} cannot be used: {what}",
            hint=f"{advice or 'this is a bug in the plugin; please report it to its authors'} "
            f"(see: fusekit plugins show {spec.namespace}; --debug shows the traceback)",
        )


_policy: PluginPolicy | None = None


def set_policy(policy: PluginPolicy) -> None:
    """Sets which plugins `registry` loads; the command line calls it before anything else."""
    global _policy
    _policy = policy
    registry.cache_clear()


def current_policy() -> PluginPolicy:
    """Which plugins `registry` loads, for processes that load the same ones."""
    return _policy or PluginPolicy.from_environment()


@cache
def registry() -> Registry:
    """The registry of this process; plugins are loaded on the first call."""
    return Registry(load_plugins(current_policy()))
