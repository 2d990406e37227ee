"""Components by name: finding them, and importing their classes when they are used."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from fusekit.errors import PluginError, UsageError
from fusekit.interfaces.config import ComponentConfig
from fusekit.interfaces.kinds import KINDS
from fusekit.plugin.catalogue import KnownPlugin, catalogue, provider
from fusekit.plugin.imports import load_target, local_file, local_module, one_line
from fusekit.plugin.loader import LOCAL_NAMESPACE, PluginPolicy, PluginReport, load_local, load_plugins
from fusekit.plugin.specs import ComponentSpec
from fusekit.words import did_you_mean


class Registry:
    """The components of all loaded plugins.

    Args:
        reports: What the loader found.
    """

    def __init__(self, reports: Sequence[PluginReport]) -> None:
        self.reports = list(reports)
        self._specs: dict[tuple[str, str], ComponentSpec] = {}
        for report in self.reports:
            self._specs.update({(s.kind, s.name): s for s in report.components})

    def add_local(self, path: Path) -> PluginReport:
        """Adds the components of a local file under ``local.``.

        Raises:
            PluginError: The file does not load, or has a component that another file has.
            UsageError: There is no such file, or another file of its name was added.
        """
        file = local_file(path)
        # The same file again replaces itself, as in a notebook; another file is never replaced.
        others = [r for r in self.reports if r.distribution != str(file)]
        for rival in others:
            if rival.namespace == LOCAL_NAMESPACE and local_module(Path(rival.distribution)) == local_module(file):
                raise UsageError(f"--with {path}: {rival.value} has that name too", hint="rename one of the two")
        report = load_local(path)
        if report.state != "loaded":
            raise PluginError(
                f"--with {path}: {report.reason}", hint=f"{report.hint}; --debug shows the trace"
            ) from RuntimeError(report.trace)
        taken = {(s.kind, s.name): r for r in others for s in r.components}
        for spec in report.components:
            if (spec.kind, spec.name) in taken:
                first = taken[spec.kind, spec.name].value
                raise PluginError(
                    f"--with {path}: {first} has a {spec.kind} {spec.name!r} already",
                    hint="rename one of the two",
                )
        self.reports = [*others, report]
        self._specs = {(s.kind, s.name): s for r in self.reports for s in r.components}
        return report

    def specs(self, kind: str | None = None) -> list[ComponentSpec]:
        """All components, or those of one kind, by name."""
        return sorted(
            (s for s in self._specs.values() if kind is None or s.kind == kind),
            key=lambda s: (s.kind, s.name),
        )

    def for_tables(self, kind: str, *, needs_ideal: bool = False) -> list[ComponentSpec]:
        """Metrics or backbones that stand in tables unless a recipe chooses others, in the order of declaration."""
        return [s for s in self._specs.values() if s.kind == kind and s.in_tables and s.needs_ideal == needs_ideal]

    def find(self, kind: str, name: str) -> ComponentSpec:
        """The component of that kind and name.

        Raises:
            PluginError: There is none; says the nearest name, another kind of that name, or what is wrong
                with the plugin that should provide it.
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
            more = f"fusekit plugins show {namespace} tells more"
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
            hint = "components of a local file join with --with FILE.py"
        raise PluginError(f"no {kind} named {name!r}{suggestion}", hint=hint)

    def absent(self, namespace: str) -> KnownPlugin | None:
        """The plugin of the catalogue that has this namespace, if no installed one has it."""
        return None if any(r.namespace == namespace for r in self.reports) else catalogue().get(namespace)

    def no_plugin(self, name: str) -> PluginError:
        """The error for a plugin, distribution or component that was asked for and whose plugin is not installed."""
        namespace = name.partition(".")[0]
        known = self.absent(namespace) or provider(name)
        if known is not None:
            return PluginError(
                f"plugin {known.namespace!r} of {known.distribution} is not installed", hint=known.advice
            )
        near = did_you_mean(namespace, [report.namespace for report in self.reports])
        return PluginError(f"no plugin {namespace!r}{near}", hint="fusekit plugins list shows what is installed")

    def config_class(self, kind: str, name: str) -> type[ComponentConfig]:
        """A component's ``Config``, without importing torch where the spec says where it stands.

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
            PluginError: The component is missing, its import fails, or it breaks the contract.
        """
        spec = self.find(kind, name)
        found = self._load(spec, spec.target)
        interface = load_target(KINDS[kind])
        if not (isinstance(found, type) and issubclass(found, interface)):
            raise self._fault(spec, f"{spec.target} is not a {interface.__name__}")
        if inspect.isabstract(found):
            undone = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
            raise self._fault(spec, f"{spec.target} does not implement {undone}")
        config = self._config_of(spec, found)
        if spec.config is not None and self._load(spec, spec.config) is not config:
            raise self._fault(spec, f"{spec.target} has a Config other than {spec.config}")
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
        except BaseException as error:  # SystemExit, and panics of compiled extensions, are no Exception
            raise self._fault(spec, one_line(error)) from error

    def _fault(self, spec: ComponentSpec, what: str) -> PluginError:
        report = next((r for r in self.reports if spec in r.components), None)
        owner = f" (from {report.distribution} {report.version})" if report else ""
        return PluginError(
            f"{spec.kind} {spec.name!r}{owner} cannot be used: {what}",
            hint=f"the plugin needs mending: fusekit plugins show {spec.namespace}; --debug shows the trace",
        )


_policy = PluginPolicy()
_policy_set = False


def set_policy(policy: PluginPolicy) -> None:
    """Decides which plugins `registry` loads; the command line calls it before anything else."""
    global _policy, _policy_set
    _policy, _policy_set = policy, True
    registry.cache_clear()


@cache
def registry() -> Registry:
    """The registry of this process; plugins are loaded on the first call."""
    return Registry(load_plugins(_policy if _policy_set else PluginPolicy.from_environment()))
