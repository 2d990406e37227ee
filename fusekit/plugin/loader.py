"""Finds plugins and loads them one at a time; the failure of one is recorded and does not affect the others.

pluggy manages the hooks and checks signatures. Its bulk loader is not used: one plugin that fails to import
would make the whole command line fail.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
import reprlib
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pluggy
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from fusekit._version import API_VERSION, __version__
from fusekit.plugin.discovery import DISTRIBUTION, Candidate, discover
from fusekit.plugin.hookspecs import PROJECT, FusekitSpecs
from fusekit.plugin.imports import former_name, load_file, local_file, one_line
from fusekit.plugin.specs import ComponentSpec, WeightsSpec

LOCAL_NAMESPACE = "local"

_LOWER_BOUNDS = (">=", ">", "==", "~=")

State = Literal["loaded", "disabled", "incompatible", "broken", "conflict"]


@dataclass(frozen=True)
class PluginReport:
    """Result of loading one plugin.

    Attributes:
        namespace: Name of its entry point; its components are called ``namespace.…``.
        distribution: The installed distribution that declares it.
        version: Version of that distribution.
        value: The entry module.
        state: State after loading.
        reason: Why it is not loaded, in one sentence; empty if it is loaded.
        hint: What to do about it.
        trace: The full traceback if there was an exception.
        origin: File of the entry module, if it was imported.
        components: Components that it provides.
        weights: Trained weights that it ships.
        locations: URL schemes of addresses that it resolves, and the import path of the function for each.
    """

    namespace: str
    distribution: str
    version: str
    value: str
    state: State = "loaded"
    reason: str = ""
    hint: str = ""
    trace: str = ""
    origin: str = ""
    components: tuple[ComponentSpec, ...] = ()
    weights: tuple[WeightsSpec, ...] = ()
    locations: Mapping[str, str] = field(default_factory=dict)

    @property
    def builtin(self) -> bool:
        """Whether it belongs to fusekit's own distribution."""
        return self.distribution == DISTRIBUTION


@dataclass(frozen=True)
class PluginPolicy:
    """Which plugins may be loaded.

    Attributes:
        third_party: False loads only fusekit's own plugins.
        only: Namespaces of third-party plugins to load; None loads all.
        disabled: Namespaces that are not loaded, built-in or not.
    """

    third_party: bool = True
    only: frozenset[str] | None = None
    disabled: frozenset[str] = frozenset()

    @classmethod
    def from_environment(cls) -> PluginPolicy:
        """``FUSEKIT_PLUGINS``: comma-separated namespaces to load, empty for none; unset loads all."""
        value = os.environ.get("FUSEKIT_PLUGINS")
        if value is None:
            return cls()
        return cls(only=frozenset(name.strip() for name in value.split(",") if name.strip()))

    def refuses(self, namespace: str, builtin: bool) -> str | None:
        """Why a plugin is not to be loaded; None if it is."""
        if namespace in self.disabled:
            return f"switched off with -p no:{namespace}"
        if builtin:
            return None
        if not self.third_party:
            return "switched off with --no-plugins"
        if self.only is not None and namespace not in self.only:
            return "not listed in FUSEKIT_PLUGINS"
        return None


def load_plugins(
    policy: PluginPolicy | None = None,
    candidates: Iterable[Candidate] | None = None,
) -> list[PluginReport]:
    """Loads every plugin that the policy allows, one at a time.

    Returns:
        One report per plugin, fusekit's own first; an error in a plugin is reported, not raised.
    """
    policy = policy or PluginPolicy.from_environment()
    found = list(discover() if candidates is None else candidates)
    clashes = _namespace_clashes(found)
    reports = []
    for candidate in found:
        report = PluginReport(candidate.namespace, candidate.distribution, candidate.version, candidate.value)
        refused = policy.refuses(candidate.namespace, report.builtin)
        if refused is not None:
            report = replace(report, state="disabled", reason=refused)
        elif candidate.fault:
            hint = f"pip install --force-reinstall {candidate.distribution}"
            report = replace(report, state="broken", reason=candidate.fault, hint=hint)
        elif candidate in clashes:
            reason, hint = clashes[candidate]
            report = replace(report, state="conflict", reason=reason, hint=hint)
        else:
            report = _load_one(candidate, report)
        reports.append(report)
    return reports


def load_local(path: Path) -> PluginReport:
    """Loads the components of a local file (``--with FILE.py``) under the namespace ``local``.

    Raises:
        UsageError: The file does not exist, or its name does not end in .py.
    """
    file = local_file(path)
    report = PluginReport(LOCAL_NAMESPACE, str(file), "", str(path))
    return _guarded(lambda: _register(load_file(file), report), report, "fix the file")


def _namespace_clashes(found: Sequence[Candidate]) -> dict[Candidate, tuple[str, str]]:
    """Conflicts of distributions with the same namespace: fusekit's own is loaded, third-party ones are not."""
    by_name: dict[str, list[Candidate]] = {}
    for candidate in found:
        if not candidate.fault:  # the namespace of damaged metadata may be a guess
            by_name.setdefault(candidate.namespace, []).append(candidate)
    clashes = {}
    for namespace, claimants in by_name.items():
        if len(claimants) == 1 and namespace != LOCAL_NAMESPACE:
            continue
        names = " and ".join(sorted({f"{c.distribution} ({c.value})" for c in claimants}))
        for candidate in claimants:
            if namespace == LOCAL_NAMESPACE:
                clashes[candidate] = (
                    "the namespace 'local' is reserved for --with FILE.py",
                    "rename the entry point",
                )
            elif candidate.distribution != DISTRIBUTION:
                clashes[candidate] = (
                    f"namespace {namespace!r} is claimed by {names}",
                    f"uninstall one of them: pip uninstall {candidate.distribution}",
                )
    return clashes


def _load_one(candidate: Candidate, report: PluginReport) -> PluginReport:
    def load() -> PluginReport:
        unmet = _unmet_requirement(candidate)
        if unmet is not None:
            return replace(
                report,
                state="incompatible",
                reason=f"it requires {unmet}, this is {DISTRIBUTION} {__version__}",
                hint=_upgrade(unmet.removeprefix(DISTRIBUTION), __version__, candidate.distribution),
            )
        if not re.fullmatch(r"[\w.]+", candidate.value):
            raise ValueError(f"its entry point {candidate.value!r} does not name a module")
        return _register(importlib.import_module(candidate.value), report)

    name = candidate.distribution
    remedy = f"pip install --upgrade {name}, or pip uninstall {name}"
    own = f"pip install --force-reinstall {name}; if that does not help, please report it"
    return _guarded(load, report, own if report.builtin else remedy)


def _guarded(load: Callable[[], PluginReport], report: PluginReport, hint: str) -> PluginReport:
    """Runs a plugin's code; any exception becomes a report, except KeyboardInterrupt."""
    try:
        # Text that a plugin prints while it is imported must not appear in machine-readable output.
        with contextlib.redirect_stdout(sys.stderr):
            return load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and panics of compiled extensions are not subclasses of Exception
        trace = "".join(traceback.format_exception(error))
        hint = former_name(error) or hint
        return replace(report, state="broken", reason=one_line(error), hint=hint, trace=trace)


def _unmet_requirement(candidate: Candidate) -> str | None:
    """The distribution's requirement on fusekit, if this version does not meet it; else None."""
    for text in candidate.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) != DISTRIBUTION:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if not requirement.specifier.contains(__version__, prereleases=True):
            return f"{DISTRIBUTION}{requirement.specifier}"
    return None


def _upgrade(wanted: str, present: str, distribution: str) -> str:
    """The pip command that resolves an unmet version range: upgrades fusekit if it is too old, else the plugin."""
    lower = [Version(s.version.removesuffix(".*")) for s in SpecifierSet(wanted) if s.operator in _LOWER_BOUNDS]
    newer = any(version > Version(present) for version in lower)
    return f"pip install --upgrade {DISTRIBUTION if newer else distribution}"


def _register(module: ModuleType, report: PluginReport) -> PluginReport:
    """Checks the declared API range, registers the hooks, calls them for the components and checks these."""
    report = replace(report, origin=getattr(module, "__file__", None) or "")
    declared = getattr(module, "FUSEKIT_API", None)
    if declared is not None:
        try:
            fits = SpecifierSet(str(declared)).contains(API_VERSION)
        except InvalidSpecifier:
            raise ValueError(f"FUSEKIT_API = {declared!r} is not a version range such as '>=1.0,<2'") from None
        if not fits:
            return replace(
                report,
                state="incompatible",
                reason=f"it is written for plugin API {declared}, this is API {API_VERSION}",
                hint=_upgrade(str(declared), API_VERSION, report.distribution),
            )
    for name, value in vars(module).items():
        if name.startswith("fusekit_") and inspect.isfunction(value) and not hasattr(value, "fusekit_impl"):
            raise TypeError(f"{name}() looks like a hook but is not marked with @hookimpl")
    # One manager per plugin: in a shared one, an unknown hook of one plugin would also be an error for all others.
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(FusekitSpecs)
    manager.register(module, name=report.namespace)
    manager.check_pending()
    found = {name: _returned(manager, name) for name in ("fusekit_components", "fusekit_weights", "fusekit_locations")}
    if all(result is None for result in found.values()):
        raise TypeError("it does not implement the hook fusekit_components()")
    specs, weights = tuple(found["fusekit_components"] or ()), tuple(found["fusekit_weights"] or ())
    _check_specs(specs, ComponentSpec, report.namespace)
    _check_specs(weights, WeightsSpec, report.namespace)
    if weights and not hasattr(module, "__path__") and not module.__package__:
        raise TypeError("its entry module is a single file; only a package can contain the files of weights")
    return replace(report, components=specs, weights=weights, locations=_locations(found["fusekit_locations"]))


def _returned(manager: pluggy.PluginManager, name: str) -> Any:
    """What the plugin's implementation of a hook returned; None if it has none."""
    hook = getattr(manager.hook, name)
    if not hook.get_hookimpls():
        return None
    results = hook()
    what = {"fusekit_components": "list of components", "fusekit_weights": "list of weights"}.get(name, "mapping")
    if not results:
        raise TypeError(f"{name}() returned None, not a {what}")
    if isinstance(results[0], str) or not isinstance(results[0], Iterable):
        raise TypeError(f"{name}() returned {reprlib.repr(results[0])}, not a {what}")
    return results[0]


def _locations(found: Any) -> dict[str, str]:
    if found is not None and not isinstance(found, Mapping):
        raise TypeError(f"fusekit_locations() returned {reprlib.repr(found)}, not a mapping")
    return dict(found or {})


def _check_specs(specs: Sequence[Any], kind: type[ComponentSpec] | type[WeightsSpec], namespace: str) -> None:
    hook, noun = ("components", "component") if kind is ComponentSpec else ("weights", "weights")
    seen: set[tuple[str, str]] = set()
    for spec in specs:
        if not isinstance(spec, kind):
            raise TypeError(f"fusekit_{hook}() returned {reprlib.repr(spec)}; make specs with fusekit.plugin.{noun}")
        if spec.namespace != namespace:
            raise ValueError(f"{noun} {spec.name!r} is outside its plugin's namespace {namespace!r}")
        key = (getattr(spec, "kind", "weights"), spec.name)
        if key in seen:
            raise ValueError(f"two components of kind {key[0]} are called {spec.name!r}")
        seen.add(key)
