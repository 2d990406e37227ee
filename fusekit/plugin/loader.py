"""Finds plugins and loads them one at a time; whatever goes wrong is recorded and stops nobody else.

pluggy holds the hooks and checks signatures. Its bulk loader is not used: one plugin that fails to import
would take the whole command line down.
"""

from __future__ import annotations

import inspect
import os
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pluggy
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from fusekit._version import API_VERSION, __version__
from fusekit.plugin.hookspecs import PROJECT, FusekitSpecs
from fusekit.plugin.imports import load_file
from fusekit.plugin.specs import ComponentSpec

GROUP = "fusekit"
DISTRIBUTION = "image-fusekit"
LOCAL_NAMESPACE = "local"

State = Literal["loaded", "disabled", "incompatible", "broken", "conflict"]


@dataclass(frozen=True)
class PluginReport:
    """What happened to one plugin.

    Attributes:
        namespace: Name of its entry point; its components are called ``namespace.…``.
        distribution: The installed distribution that declares it.
        version: Version of that distribution.
        value: The entry module.
        state: How loading ended.
        reason: Why it is not loaded, one sentence; empty when it is.
        hint: What to do about it.
        trace: The whole traceback where there was an exception.
        origin: File of the entry module, where it got that far.
        components: What it provides.
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

    @property
    def builtin(self) -> bool:
        """Whether fusekit's own distribution ships it."""
        return self.distribution == DISTRIBUTION


@dataclass(frozen=True)
class PluginPolicy:
    """Which plugins may be loaded.

    Attributes:
        third_party: False loads only fusekit's own.
        only: Namespaces of third parties to load; None loads all.
        disabled: Namespaces not to load, built-in or not.
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
        """Why a plugin is not loaded, or None."""
        if namespace in self.disabled:
            return f"switched off with -p no:{namespace}"
        if builtin:
            return None
        if not self.third_party:
            return "switched off with --no-plugins"
        if self.only is not None and namespace not in self.only:
            return "not listed in FUSEKIT_PLUGINS"
        return None


@dataclass(frozen=True)
class Candidate:
    """An entry point found in the metadata of an installed distribution."""

    namespace: str
    value: str
    distribution: str
    version: str
    requires: tuple[str, ...] = ()
    entry_point: metadata.EntryPoint | None = field(default=None, compare=False, repr=False)


def discover(path: Sequence[str] | None = None) -> list[Candidate]:
    """Reads the entry points of group ``fusekit`` from the metadata of installed distributions.

    Editable installs list the same entry point twice; entries equal in (distribution, name, value) are one.

    Args:
        path: Folders to search instead of ``sys.path``.
    """
    found: dict[tuple[str, str, str], Candidate] = {}
    distributions = metadata.distributions(path=list(path)) if path is not None else metadata.distributions()
    for distribution in distributions:
        try:
            points = [p for p in distribution.entry_points if p.group == GROUP]
            name = canonicalize_name(distribution.metadata["Name"] or "unknown") if points else ""
            for point in points:
                candidate = Candidate(
                    point.name,
                    point.value,
                    name,
                    distribution.version,
                    tuple(distribution.requires or ()),
                    point,
                )
                found.setdefault((name, point.name, point.value), candidate)
        except Exception:  # damaged metadata of one distribution must not hide all the others
            continue
    return sorted(found.values(), key=lambda c: (c.distribution != DISTRIBUTION, c.namespace, c.distribution))


def load_plugins(
    policy: PluginPolicy | None = None,
    candidates: Iterable[Candidate] | None = None,
) -> list[PluginReport]:
    """Loads every plugin that the policy allows, one at a time.

    Returns:
        One report per plugin, fusekit's own first; never raises for a plugin's fault.
    """
    policy = policy or PluginPolicy.from_environment()
    found = list(discover() if candidates is None else candidates)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(FusekitSpecs)
    clashes = _namespace_clashes(found)
    reports = []
    for candidate in found:
        report = PluginReport(candidate.namespace, candidate.distribution, candidate.version, candidate.value)
        refused = policy.refuses(candidate.namespace, report.builtin)
        if refused is not None:
            reports.append(replace(report, state="disabled", reason=refused))
        elif candidate in clashes:
            reports.append(
                replace(report, state="conflict", reason=clashes[candidate][0], hint=clashes[candidate][1])
            )
        else:
            reports.append(_load_one(manager, candidate, report))
    return reports


def load_local(path: Path) -> PluginReport:
    """Loads the components of a local file (``--with FILE.py``) under the namespace ``local``."""
    report = PluginReport(LOCAL_NAMESPACE, str(path), "", str(path))
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(FusekitSpecs)
    try:
        return _register(manager, load_file(path), report)
    except (Exception, SystemExit) as error:
        return _broken(report, error, "mend the file")


def _namespace_clashes(found: Sequence[Candidate]) -> dict[Candidate, tuple[str, str]]:
    """Two distributions with one namespace: fusekit's own stands, of strangers none is loaded."""
    by_name: dict[str, list[Candidate]] = {}
    for candidate in found:
        by_name.setdefault(candidate.namespace, []).append(candidate)
    clashes = {}
    for namespace, rivals in by_name.items():
        if len(rivals) == 1 and namespace != LOCAL_NAMESPACE:
            continue
        names = " and ".join(sorted({f"{c.distribution} ({c.value})" for c in rivals}))
        for candidate in rivals:
            if namespace == LOCAL_NAMESPACE:
                clashes[candidate] = (
                    "the namespace 'local' is kept for --with FILE.py",
                    "rename the entry point",
                )
            elif candidate.distribution != DISTRIBUTION:
                clashes[candidate] = (
                    f"namespace {namespace!r} is claimed by {names}",
                    f"uninstall one: pip uninstall {candidate.distribution}",
                )
    return clashes


def _load_one(manager: pluggy.PluginManager, candidate: Candidate, report: PluginReport) -> PluginReport:
    unmet = _unmet_requirement(candidate)
    if unmet is not None:
        return replace(
            report,
            state="incompatible",
            reason=f"it requires {unmet}, this is {DISTRIBUTION} {__version__}",
            hint=f"pip install --upgrade {candidate.distribution} {DISTRIBUTION}",
        )
    hint = f"pip install --upgrade {candidate.distribution}, or pip uninstall {candidate.distribution}"
    try:
        assert candidate.entry_point is not None
        module = candidate.entry_point.load()
        return _register(manager, module, report)
    except (Exception, SystemExit) as error:
        return _broken(report, error, hint)


def _unmet_requirement(candidate: Candidate) -> str | None:
    """The distribution's own requirement on fusekit, if this version does not meet it."""
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
            return str(requirement)
    return None


def _register(manager: pluggy.PluginManager, module: Any, report: PluginReport) -> PluginReport:
    """Checks the declared API range, registers the hooks, asks for the components and checks them."""
    origin = getattr(module, "__file__", "") or "" if isinstance(module, ModuleType) else ""
    report = replace(report, origin=origin)
    declared = getattr(module, "FUSEKIT_API", None)
    if declared is not None:
        try:
            fits = SpecifierSet(str(declared)).contains(API_VERSION)
        except InvalidSpecifier:
            raise ValueError(f"FUSEKIT_API = {declared!r} is not a version range") from None
        if not fits:
            return replace(
                report,
                state="incompatible",
                reason=f"it is written for plugin API {declared}, this is API {API_VERSION}",
                hint=f"pip install --upgrade {report.distribution} {DISTRIBUTION}",
            )
    for name, value in vars(module).items():
        if name.startswith("fusekit_") and inspect.isfunction(value) and not hasattr(value, "fusekit_impl"):
            raise TypeError(f"{name}() looks like a hook but is not marked with @hookimpl")
    manager.register(module, name=report.namespace)
    manager.check_pending()
    rivals = [p for p in manager.get_plugins() if p is not module]
    answers = manager.subset_hook_caller("fusekit_components", remove_plugins=rivals)()
    if not answers:
        raise TypeError("it implements no fusekit_components() hook")
    specs = tuple(spec for answer in answers for spec in answer)
    _check_specs(specs, report.namespace)
    return replace(report, components=specs)


def _check_specs(specs: Sequence[Any], namespace: str) -> None:
    seen = set()
    for spec in specs:
        if not isinstance(spec, ComponentSpec):
            raise TypeError(
                f"fusekit_components() returned {spec!r}; make specs with fusekit.plugin.component"
            )
        if spec.namespace != namespace:
            raise ValueError(f"component {spec.name!r} is outside its plugin's namespace {namespace!r}")
        if (spec.kind, spec.name) in seen:
            raise ValueError(f"two components of kind {spec.kind} are called {spec.name!r}")
        seen.add((spec.kind, spec.name))


def _broken(report: PluginReport, error: BaseException, hint: str) -> PluginReport:
    first_line = (str(error).strip().splitlines() or [""])[0]
    return replace(
        report,
        state="broken",
        reason=f"{type(error).__name__}: {first_line}",
        hint=hint,
        trace="".join(traceback.format_exception(error)),
    )
