"""``fusekit plugins``. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fusekit.errors import PluginError
from fusekit.interfaces.kinds import KINDS
from fusekit.plugin.doctor import Finding, examine
from fusekit.plugin.loader import PluginReport
from fusekit.plugin.registry import did_you_mean, registry

app = typer.Typer(
    help="What is installed, where it comes from, and what is wrong with it.", no_args_is_help=True
)

_COLOURS = {
    "loaded": "green",
    "disabled": "dim",
    "incompatible": "yellow",
    "broken": "red",
    "conflict": "red",
}


@app.command("list")
def list_(
    kind: Annotated[str | None, typer.Option("--kind", help="Components of one kind, such as task.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Plugins and their components.

    Example: fusekit plugins list --kind backbone
    """
    if kind is not None and kind not in KINDS:
        raise typer.BadParameter(f"{kind!r}; kinds are {', '.join(KINDS)}", param_hint="--kind")
    known = registry()
    if as_json:
        plain = [_plain(report, kind) for report in known.reports]
        typer.echo(json.dumps(plain, indent=2))
        return
    console = Console()
    plugins = Table(title="Plugins", title_justify="left", box=None, pad_edge=False)
    for head in ("name", "distribution", "state", "components", ""):
        plugins.add_column(head)
    for report in known.reports:
        state = f"[{_COLOURS[report.state]}]{report.state}[/]"
        version = f"{report.distribution} {report.version}"
        plugins.add_row(
            report.namespace, escape(version), state, str(len(report.components)), escape(report.reason)
        )
    console.print(plugins)
    console.print()
    table = Table(title="Components", title_justify="left", box=None, pad_edge=False)
    for head in ("kind", "name", "what it is"):
        table.add_column(head, overflow="fold")
    for spec in known.specs(kind):
        table.add_row(spec.kind, spec.name, escape(spec.summary))
    console.print(table)


def _plain(report: PluginReport, kind: str | None) -> dict[str, Any]:
    plain = asdict(report)
    plain["components"] = [asdict(s) for s in report.components if kind is None or s.kind == kind]
    return plain


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="A plugin (uaafusion) or a component of one.")]) -> None:
    """A plugin: origin, state, components with their options; the whole trace if it is broken.

    Example: fusekit plugins show uaafusion
    """
    known = registry()
    namespace = name.partition(".")[0]
    reports = [r for r in known.reports if r.namespace == namespace]
    if not reports:
        raise PluginError(
            f"no plugin {namespace!r}{did_you_mean(namespace, [r.namespace for r in known.reports])}",
            hint="fusekit plugins list shows what is installed",
        )
    console = Console()
    for report in reports:
        console.print(
            f"[bold]{report.namespace}[/]  {escape(report.distribution)} {report.version}", highlight=False
        )
        console.print(f"entry point  {escape(report.value)}", highlight=False)
        if report.origin:
            console.print(f"file         {escape(report.origin)}", highlight=False, soft_wrap=True)
        console.print(f"state        [{_COLOURS[report.state]}]{report.state}[/]")
        if report.reason:
            console.print(f"reason       {escape(report.reason)}", highlight=False, soft_wrap=True)
        if report.hint:
            console.print(f"remedy       {escape(report.hint)}", highlight=False, soft_wrap=True)
        if report.trace:
            console.print(escape(report.trace), highlight=False, soft_wrap=True)
        for spec in report.components:
            if "." in name and spec.name != name:
                continue
            console.print(
                f"\n[bold cyan]{spec.name}[/]  {spec.kind}: {escape(spec.summary)}", highlight=False
            )
            if spec.paper:
                console.print(f"  {escape(spec.paper)}", style="dim", highlight=False)
            _print_options(console, spec.kind, spec.name)


def _print_options(console: Console, kind: str, name: str) -> None:
    try:
        config = registry().config_class(kind, name)
    except PluginError as error:
        console.print(f"  [red]{escape(error.message)}[/]", highlight=False)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("  option", "default", "what it does"):
        table.add_column(head, overflow="fold")
    for option, info in config.model_fields.items():
        default = "required" if info.is_required() else _shown(info.get_default(call_default_factory=True))
        table.add_row(f"  {option}", escape(default), escape(info.description or ""))
    if config.model_fields:
        console.print(table)


def _shown(value: Any) -> str:
    return value.use if hasattr(value, "use") else json.dumps(value, default=str)


@app.command("doctor")
def doctor(
    imports: Annotated[
        bool, typer.Option("--imports/--no-imports", help="Import every component (imports torch).")
    ] = True,
) -> None:
    """Look for trouble: plugins that do not load, components that do not import, stale metadata.

    Ends with exit code 3 where something is wrong.
    """
    findings = examine(registry(), imports=imports)
    console = Console()
    for finding in findings:
        console.print(
            f"[{_colour(finding)}]{finding.severity}[/]  {escape(finding.text)}",
            highlight=False,
            soft_wrap=True,
        )
        if finding.remedy:
            console.print(f"  {escape(finding.remedy)}", style="cyan", highlight=False, soft_wrap=True)
    wrong = [f for f in findings if f.severity == "wrong"]
    if wrong:
        raise PluginError(
            f"{len(wrong)} problem(s) found", hint="fusekit plugins show NAME tells more about a plugin"
        )


def _colour(finding: Finding) -> str:
    return {"ok": "green", "note": "yellow", "wrong": "red"}[finding.severity]
