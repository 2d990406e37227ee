"""``fusekit plugins``. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fusekit.authoring.doctor import Finding, examine
from fusekit.cli.new_plugin import new
from fusekit.cli.option_text import option_texts
from fusekit.errors import PluginError
from fusekit.interfaces.kinds import KINDS
from fusekit.plugin.catalogue import catalogue
from fusekit.plugin.loader import PluginReport
from fusekit.plugin.registry import registry
from fusekit.plugin.specs import ComponentSpec
from fusekit.words import did_you_mean

if TYPE_CHECKING:
    from fusekit.testing.check import Outcome

app = typer.Typer(help="List, inspect, check and create plugins.", no_args_is_help=True)

_COLOURS = {
    "loaded": "green",
    "disabled": "dim",
    "incompatible": "yellow",
    "broken": "red",
    "conflict": "red",
}


@app.command("list")
def list_(
    kind: Annotated[str | None, typer.Option("--kind", help="List only components of this kind, such as task.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List plugins and their components.

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
    if kind is None:
        _print_plugins(console, known.reports)
    _print_components(console, known.specs(kind), kind)


def _print_plugins(console: Console, reports: Sequence[PluginReport]) -> None:
    console.print("[bold]Plugins[/]")
    widths = [max((len(w) for w in column), default=0) for column in zip(*map(_words, reports), strict=True)]
    for report in reports:
        name, state, rest = (f"{word:<{width}}" for word, width in zip(_words(report), widths, strict=True))
        line = f"  {escape(name)}  [{_COLOURS[report.state]}]{state}[/]  {escape(rest.rstrip())}"
        console.print(line, highlight=False, soft_wrap=True)
        if report.reason:
            _paragraph(console, report.reason, indent=6, style="dim")
        if report.state not in ("loaded", "disabled"):
            _paragraph(console, f"more: fusekit plugins show {report.namespace}", indent=6, style="cyan")


def _words(report: PluginReport) -> tuple[str, str, str]:
    count = len(report.components)
    parts = (
        [f"{count} component{'' if count == 1 else 's'}"] if count or not (report.weights or report.locations) else []
    )
    sets = len(report.weights)
    parts += [f"{sets} set{'' if sets == 1 else 's'} of weights"] if sets else []
    parts += [f"{scheme}:// addresses" for scheme in report.locations]
    provides = f", {', '.join(parts)}" if report.state == "loaded" else ""
    return report.namespace, report.state, f"{report.distribution} {report.version}{provides}"


def _print_components(console: Console, specs: Sequence[ComponentSpec], kind: str | None) -> None:
    if not specs:
        console.print("no component is installed" if kind is None else f"no component of kind {kind} is installed")
    width = max((len(spec.name) for spec in specs), default=0)
    for found, group in groupby(specs, key=lambda spec: spec.kind):
        if kind is None:
            console.print()
        console.print(f"[bold]{found}[/]")
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(min_width=width + 2, no_wrap=True)
        table.add_column()
        for spec in group:
            table.add_row(f"  {spec.name}", escape(spec.summary))
        console.print(table)


def _paragraph(console: Console, text: str, *, indent: int, style: str = "") -> None:
    console.print(Padding(Text(text, style=style), (0, 0, 0, indent), expand=False), highlight=False)


def _plain(report: PluginReport, kind: str | None) -> dict[str, Any]:
    plain = asdict(report)
    plain["components"] = [asdict(s) for s in report.components if kind is None or s.kind == kind]
    return plain


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="A plugin, its distribution, or a component.")]) -> None:
    """Show a plugin: origin, state, components with their options, and the traceback if it is broken.

    Example: fusekit plugins show uaafusion
    """
    known = registry()
    namespace = name.partition(".")[0]
    reports = [r for r in known.reports if namespace == r.namespace or name == r.distribution]
    if not reports:
        raise known.no_plugin(name)
    specs = [s for r in reports for s in r.components if "." not in name or s.name == name]
    if not specs and "." in name and all(r.state == "loaded" for r in reports):
        names = [spec.name for spec in known.specs()]
        raise PluginError(
            f"plugin {namespace!r} has no component {name!r}{did_you_mean(name, names)}",
            hint=f"fusekit plugins show {namespace} lists its components",
        )
    console = Console()
    for report in reports:
        _print_report(console, report)
        for spec in report.components:
            if spec in specs:
                _print_component(console, spec)
        for weights in report.weights:
            default = f", default for {weights.task}" if weights.default else f", for {weights.task}"
            console.print(f"\n[bold cyan]{weights.name}[/]  weights{default}", highlight=False)
            _paragraph(console, weights.summary, indent=2)


def _print_report(console: Console, report: PluginReport) -> None:
    lines = {
        "from": f"{report.distribution} {report.version}",
        "entry point": report.value,
        "file": report.origin,
        "state": report.state,
        "reason": report.reason,
        "remedy": report.hint,
    }
    console.print(f"[bold]{escape(report.namespace)}[/]  plugin", highlight=False)
    for head, text in lines.items():
        if text.strip():
            style = _COLOURS[report.state] if head == "state" else "default"
            console.print(f"  {head:<12} [{style}]{escape(text)}[/]", highlight=False, soft_wrap=True)
    if report.trace:
        console.print(f"\n{escape(report.trace.rstrip())}\n", highlight=False, soft_wrap=True)


def _print_component(console: Console, spec: ComponentSpec) -> None:
    console.print(f"\n[bold cyan]{spec.name}[/]  {spec.kind}", highlight=False)
    _paragraph(console, spec.summary, indent=2)
    for text in (spec.paper, spec.target):
        if text:
            _paragraph(console, text, indent=2, style="dim")
    try:
        options = list(option_texts(registry().config_class(spec.kind, spec.name)))
    except PluginError as error:
        _paragraph(console, error.message, indent=2, style="red")
        return
    if not options:
        _paragraph(console, "no options", indent=2)
    for option in options:
        indent = 4 + 4 * option.depth
        default = f": {option.default}".rstrip() if option.default is not None else ": required"
        line = Text.assemble((option.name, "bold"), default, (f"   ({option.allowed})", "dim"))
        console.print(Padding(line, (0, 0, 0, indent), expand=False))
        more = f"; its options: fusekit plugins show {option.component}" if option.component else ""
        _paragraph(console, option.description + more, indent=indent + 4)


@app.command("doctor")
def doctor(
    imports: Annotated[
        bool, typer.Option("--imports/--no-imports", help="Import every component (imports torch).")
    ] = True,
) -> None:
    """Find problems: plugins that do not load, components that cannot be imported, stale metadata.

    The exit code is 3 if a problem is found.
    """
    findings = examine(registry(), imports=imports)
    console = Console()
    for finding in findings:
        console.print(
            f"[{_colour(finding)}]{finding.severity:<5}[/]  {escape(finding.text)}",
            highlight=False,
            soft_wrap=True,
        )
        if finding.remedy:
            console.print(f"       {escape(finding.remedy)}", style="cyan", highlight=False, soft_wrap=True)
    wrong = [f for f in findings if f.severity == "wrong"]
    if wrong:
        raise PluginError(
            f"{len(wrong)} problem{'' if len(wrong) == 1 else 's'} found",
            hint="fusekit plugins show NAME shows details of a plugin",
        )


@app.command("check")
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Plugins, distributions or components (default: all third-party plugins)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that components fulfil the contract of their kind, with the checks of `fusekit.testing`.

    The exit code is 3 if a check fails. Imports torch.

    Example: fusekit plugins check toyseg
    """
    from fusekit.testing.check import check_component, components

    known = registry()
    specs = components(names or [], known)
    if not specs and not as_json:
        typer.echo("no third-party component is installed; name a plugin to check, such as baselines")
        return
    console = Console()
    outcomes: list[Outcome] = []
    for spec in specs:
        found = list(check_component(spec, known))
        if not as_json:
            _print_outcomes(console, found)
        outcomes += found
    count = {state: sum(o.state == state for o in outcomes) for state in ("passed", "failed", "skipped")}
    if as_json:
        typer.echo(json.dumps([asdict(outcome) for outcome in outcomes], indent=2))
    else:
        total = f"{len(specs)} component{'' if len(specs) == 1 else 's'}"
        console.print(f"{total}: {', '.join(f'{n} {state}' for state, n in count.items())}", highlight=False)
    if count["failed"]:
        raise PluginError(
            f"{count['failed']} check{'' if count['failed'] == 1 else 's'} failed",
            hint=None if as_json else "the messages above describe what was expected and what was found",
        )


@app.command("known")
def known_(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the plugins in fusekit's catalogue, installed or not, and how to install them.

    Example: fusekit plugins known
    """
    installed = {report.namespace for report in registry().reports}
    entries = list(catalogue().values())
    if as_json:
        plain = [{**asdict(entry), "installed": entry.namespace in installed} for entry in entries]
        typer.echo(json.dumps(plain, indent=2))
        return
    console = Console()
    for entry in entries:
        here = "[green]installed[/]" if entry.namespace in installed else "[dim]not installed[/]"
        heading = f"[bold]{entry.namespace}[/]  {here}  {entry.distribution}, {', '.join(entry.kinds)}"
        console.print(heading, highlight=False, soft_wrap=True)
        _paragraph(console, entry.summary, indent=4)
        _paragraph(console, entry.advice, indent=4, style="cyan")


def _print_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print a component on one line, with its failed checks and known gaps below it."""
    first = outcomes[0]
    failed = [outcome for outcome in outcomes if outcome.state == "failed"]
    gaps = [outcome for outcome in outcomes if outcome.state == "skipped" and outcome.reason.startswith("known gap")]
    passed, skipped = (sum(o.state == state for o in outcomes) for state in ("passed", "skipped"))
    colour, word = ("red", "failed") if failed else ("green", "passed")
    numbers = f"{passed} passed" + (f", {len(failed)} failed" if failed else "")
    numbers += f", {skipped} skipped" if skipped else ""
    console.print(
        f"[{colour}]{word}[/]  {escape(first.component)}  [dim]{first.kind}, {numbers}[/]",
        highlight=False,
        soft_wrap=True,
    )
    for outcome in failed:
        _paragraph(console, outcome.check, indent=4, style="bold")
        _paragraph(console, outcome.sentence, indent=6, style="dim")
        _paragraph(console, outcome.reason, indent=6)
    for outcome in gaps:
        _paragraph(console, f"{outcome.check}: {outcome.reason}", indent=4, style="dim")


def _colour(finding: Finding) -> str:
    return {"ok": "green", "note": "yellow", "wrong": "red"}[finding.severity]


app.command("new")(new)
