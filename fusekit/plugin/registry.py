"""Components by name: finding them, and importing their classes when they are used."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from fusekit.errors import PluginError
from fusekit.interfaces.config import ComponentConfig
from fusekit.interfaces.kinds import KINDS
from fusekit.plugin.imports import load_target
from fusekit.plugin.loader import PluginPolicy, PluginReport, load_local, load_plugins
from fusekit.plugin.specs import ComponentSpec


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


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
            PluginError: The file does not load.
        """
        report = load_local(path)
        if report.state != "loaded":
            raise PluginError(
                f"--with {path}: {report.reason}", hint=report.hint + "; --debug shows the trace"
            ) from (RuntimeError(report.trace))
        self.reports.append(report)
        self._specs.update({(s.kind, s.name): s for s in report.components})
        return report

    def specs(self, kind: str | None = None) -> list[ComponentSpec]:
        """All components, or those of one kind, by name."""
        return sorted(
            (s for s in self._specs.values() if kind is None or s.kind == kind),
            key=lambda s: (s.kind, s.name),
        )

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
            raise PluginError(f"{name!r} is a {others[0]}, not a {kind}")
        namespace = name.partition(".")[0]
        failed = [r for r in self.reports if r.namespace == namespace and r.state != "loaded"]
        if failed:
            report = failed[0]
            raise PluginError(
                f"no {kind} {name!r}: plugin {namespace!r} of {report.distribution} is {report.state}: {report.reason}",
                hint=report.hint or f"fusekit plugins show {namespace} tells more",
            )
        names = [s.name for s in self.specs(kind)]
        suggestion = did_you_mean(name, names)
        hint = None if suggestion else f"fusekit plugins list --kind {kind} shows what is installed"
        raise PluginError(f"no {kind} named {name!r}{suggestion}", hint=hint)

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
        except (Exception, SystemExit) as error:
            first_line = (str(error).strip().splitlines() or [""])[0]
            raise self._fault(spec, f"{type(error).__name__}: {first_line}") from error

    def _fault(self, spec: ComponentSpec, what: str) -> PluginError:
        report = next((r for r in self.reports if spec in r.components), None)
        owner = f" (from {report.distribution} {report.version})" if report else ""
        return PluginError(
            f"{spec.kind} {spec.name!r}{owner} cannot be used: {what}",
            hint=f"fusekit plugins show {spec.namespace} tells more; it is the plugin that needs mending",
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
