"""Diagnosis of the installed plugins, with a second, independent scan. Imports torch only on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from fusekit.errors import PluginError
from fusekit.plugin.discovery import DISTRIBUTION, GROUP, Candidate, discover, scan, unreadable
from fusekit.plugin.imports import one_line
from fusekit.plugin.registry import Registry
from fusekit.plugin.shipped import shipped_weights, weights_file


@dataclass(frozen=True)
class Finding:
    """One result of the diagnosis."""

    severity: Literal["ok", "note", "wrong"]
    text: str
    remedy: str = ""


def examine(registry: Registry, *, imports: bool) -> list[Finding]:
    """Checks plugins, their components and weights, and the metadata of their distributions.

    Args:
        registry: The loaded plugins.
        imports: Whether to import every component's class.
    """
    findings = []
    for report in registry.reports:
        who = f"{report.namespace} ({report.distribution} {report.version})"
        count = f"{len(report.components)} component{'' if len(report.components) == 1 else 's'}"
        if report.state == "loaded":
            findings.append(Finding("ok", f"{who}: {count}"))
        elif report.state == "disabled":
            findings.append(Finding("note", f"{who}: disabled, {report.reason}"))
        else:
            findings.append(Finding("wrong", f"{who}: {report.state}, {report.reason}", report.hint))
    if imports:
        findings += _components(registry)
    findings += _weights(registry)
    found = discover()
    return [*findings, *_wrong_names(found), *_duplicates(scan()), *_unreadable(), *_second_scan(found)]


def _components(registry: Registry) -> list[Finding]:
    try:
        import torch  # noqa: F401
    except Exception as error:  # then no component can be imported, and none of them is the cause
        return [Finding("wrong", f"torch cannot be imported: {one_line(error)}", "pip install --force-reinstall torch")]
    findings = []
    for spec in registry.specs():
        try:
            registry.component_class(spec.kind, spec.name)
        except PluginError as error:
            findings.append(Finding("wrong", error.message, error.hint or ""))
    if not findings:
        findings.append(Finding("ok", f"all {len(registry.specs())} components can be imported"))
    return findings


def _weights(registry: Registry) -> list[Finding]:
    """Weights whose file is missing, and short names that several plugins declare."""
    findings, owners = [], dict[str, list[str]]()
    for spec in shipped_weights(registry):
        owners.setdefault(spec.short, []).append(spec.name)
        try:
            weights_file(spec, registry)
        except PluginError as error:
            findings.append(Finding("wrong", error.message, error.hint or ""))
    for short, names in owners.items():
        if len(names) > 1:
            text = f"several plugins ship weights {short!r}"
            findings.append(Finding("note", text, f"use their full names: {', '.join(names)}"))
    return findings


def _wrong_names(found: list[Candidate]) -> list[Finding]:
    """Plugins that require the distribution ``fusekit``, which is an unrelated third-party project."""
    findings = []
    for name, requires in dict.fromkeys((c.distribution, c.requires) for c in found):
        for text in requires:
            try:
                required = canonicalize_name(Requirement(text).name)
            except InvalidRequirement:
                continue
            if required == GROUP:
                text = f"{name} requires {GROUP!r}, which is another project on the package index"
                findings.append(Finding("note", text, f"its authors should require {DISTRIBUTION}"))
    return findings


def _duplicates(everything: list[Candidate]) -> list[Finding]:
    """Distributions with metadata in several places; only the first is used."""
    places: dict[str, list[str]] = {}
    for candidate in everything:
        place = f"{candidate.version or '?'} in {candidate.folder}"
        if place not in places.setdefault(candidate.distribution, []):
            places[candidate.distribution].append(place)
    return [
        Finding(
            "note",
            f"{name} is installed {len(where)} times: {', '.join(where)}",
            f"pip uninstall {name} until none is left, then install it again",
        )
        for name, where in places.items()
        if len(where) > 1
    ]


def _unreadable() -> list[Finding]:
    remedy = "reinstall its distribution, or delete the folder: importing torch may fail while it exists"
    return [
        Finding("wrong", f"entry points in {folder} cannot be read: {why}", remedy)
        for folder, why in unreadable().items()
    ]


def _second_scan(found: list[Candidate]) -> list[Finding]:
    """Compares the entry points with those that the `entrypoints` package finds, which parses metadata by itself.

    A difference means stale or duplicate metadata, for example a leftover file of an uninstalled editable checkout.
    """
    import entrypoints

    ours = {(c.namespace, c.value) for c in found if not c.fault}
    try:
        theirs = {
            (
                point.name,
                f"{point.module_name}:{point.object_name}" if point.object_name else point.module_name,
            )
            for point in entrypoints.get_group_all(GROUP)
        }
    except Exception as error:  # it stops at the first damaged file of any distribution
        return [Finding("note", f"the second scan of the metadata stopped: {one_line(error)}")]
    findings = [
        Finding(
            "note",
            f"entry point {name} = {value} is found by only one of the two scans of the metadata",
            "reinstall its distribution; leftover metadata of an old install is the usual cause",
        )
        for name, value in sorted(ours ^ theirs)
    ]
    return findings or [Finding("ok", "two independent scans of the metadata agree")]
