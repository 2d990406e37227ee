"""A closer look at what is installed, with a second, independent scan. Imports torch only if asked to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fusekit.errors import PluginError
from fusekit.plugin.loader import GROUP, discover
from fusekit.plugin.registry import Registry


@dataclass(frozen=True)
class Finding:
    """Something that the doctor saw."""

    severity: Literal["ok", "note", "wrong"]
    text: str
    remedy: str = ""


def examine(registry: Registry, *, imports: bool) -> list[Finding]:
    """Checks plugins, their components and the metadata they come from.

    Args:
        registry: What was loaded.
        imports: Whether to import every component's class.
    """
    findings = []
    for report in registry.reports:
        who = f"{report.namespace} ({report.distribution} {report.version})"
        if report.state == "loaded":
            findings.append(Finding("ok", f"{who}: {len(report.components)} components"))
        elif report.state == "disabled":
            findings.append(Finding("note", f"{who}: disabled, {report.reason}"))
        else:
            findings.append(Finding("wrong", f"{who}: {report.state}, {report.reason}", report.hint))
    if imports:
        findings += _components(registry)
    findings += _second_scan()
    return findings


def _components(registry: Registry) -> list[Finding]:
    findings = []
    for spec in registry.specs():
        try:
            registry.component_class(spec.kind, spec.name)
        except PluginError as error:
            findings.append(Finding("wrong", error.message, error.hint or ""))
    if not findings:
        findings.append(Finding("ok", f"all {len(registry.specs())} components import"))
    return findings


def _second_scan() -> list[Finding]:
    """What the `entrypoints` package sees, which reads metadata files by itself.

    A difference means stale or duplicate metadata, such as an uninstalled editable checkout that left its
    file behind.
    """
    import entrypoints

    ours = {(c.namespace, c.value) for c in discover()}
    theirs = {
        (point.name, f"{point.module_name}:{point.object_name}" if point.object_name else point.module_name)
        for point in entrypoints.get_group_all(GROUP)
    }
    findings = [
        Finding(
            "note",
            f"entry point {name} = {value} is seen by one scan of the metadata only",
            "reinstall its distribution; leftover metadata of an old install is the usual cause",
        )
        for name, value in sorted(ours ^ theirs)
    ]
    return findings or [Finding("ok", "two independent scans of the metadata agree")]
