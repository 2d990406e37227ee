"""The ``fusekit`` command: its sub-commands, its errors and its exit codes."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from fusekit._version import __version__
from fusekit.cli import benchmark, doctor, evaluate, explain, fuse, plugins, recipes, run, weights
from fusekit.errors import FusekitError
from fusekit.pipeline.memory import keep_memory
from fusekit.plugin.discovery import discover, unreadable
from fusekit.plugin.loader import PluginPolicy
from fusekit.plugin.registry import registry, set_policy
from fusekit.words import did_you_mean

app = typer.Typer(
    name="fusekit",
    help="Fuse registered images of a scene, and train image-fusion networks.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command("fuse")(fuse.fuse)
app.command("run")(run.run)
app.command("evaluate")(evaluate.evaluate)
app.command("benchmark")(benchmark.benchmark)
app.command("compare")(benchmark.compare)
app.command("validate")(recipes.validate)
app.command("explain")(explain.explain)
app.command("doctor")(doctor.doctor)
app.add_typer(recipes.app, name="recipes")
app.add_typer(plugins.app, name="plugins")
app.add_typer(weights.app, name="weights")


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"fusekit {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    no_plugins: Annotated[bool, typer.Option("--no-plugins", help="Load fusekit's own plugins only.")] = False,
    plugin: Annotated[
        list[str] | None, typer.Option("-p", metavar="no:NAME", help="Do not load the plugin NAME; may be repeated.")
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks (can appear anywhere on the command line).")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that precede the command. `main` has already removed --debug; it is declared here for --help."""
    disabled = set()
    for entry in plugin or []:
        if not entry.startswith("no:") or not entry[3:]:
            raise typer.BadParameter(f"{entry!r}: write -p no:NAME", param_hint="-p")
        disabled.add(entry[3:])
    if unreadable():
        # torch reads the entry points of every installed distribution to find backends that load automatically.
        # Damaged third-party metadata would make `import torch` fail.
        os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
    policy = PluginPolicy.from_environment()
    set_policy(PluginPolicy(not no_plugins, policy.only, policy.disabled | disabled))
    if disabled:
        _mention_unknown(disabled)
    if context.invoked_subcommand != "plugins":  # which reports these plugins itself
        context.call_on_close(_mention_failed)


def _mention_unknown(disabled: set[str]) -> None:
    """Print a note for unknown names: probably misspelt, but a script may disable a plugin that is not installed."""
    installed = {candidate.namespace for candidate in discover()}
    for name in sorted(disabled - installed):
        _dim(f"-p no:{name}: no such plugin{did_you_mean(name, installed)}")


def _mention_failed() -> None:
    """Print one line about plugins that did not load, if this command loaded plugins at all."""
    if registry.cache_info().currsize == 0:
        return
    states = ("broken", "incompatible", "conflict")
    failed = sorted({r.distribution for r in registry().reports if r.state in states})
    if failed:
        more = f" and {len(failed) - 3} more" if len(failed) > 4 else ""
        names = ", ".join(failed[:3] if more else failed)
        _dim(f"plugins not loaded: {names}{more} (fusekit plugins list shows why)")


def _dim(text: str) -> None:
    Console(stderr=True).print(escape(text), style="dim", highlight=False, soft_wrap=True)


def main(arguments: list[str] | None = None) -> None:
    """Entry point: run a command and exit.

    Exit codes: 0 success, 1 failure, 2 usage or recipe error, 3 plugin error, 4 data error, 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    keep_memory()
    sys.exit(_run([word for word in words if word != "--debug"], debug))


def _run(words: list[str], debug: bool) -> int:
    console = Console(stderr=True)
    try:
        app(words, prog_name="fusekit")
        return 0
    except SystemExit as end:  # typer ends every command this way, and has already printed usage errors
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if code == 130:
            console.print("interrupted", style="yellow")
        return code
    except FusekitError as error:
        if debug:
            traceback.print_exc()
        console.print(f"[bold red]error:[/] {escape(error.message)}", highlight=False, soft_wrap=True)
        if error.hint:
            console.print(f"[cyan]{escape(error.hint)}[/]", highlight=False, soft_wrap=True)
        return error.exit_code
    except Exception as error:
        if debug:
            traceback.print_exc()
        text = f"{type(error).__name__}: {error}"
        console.print(f"[bold red]internal error:[/] {escape(text)}", highlight=False, soft_wrap=True)
        remedy = "please report it" if debug else "--debug shows the traceback; please report it"
        console.print(f"[cyan]{remedy}[/]", highlight=False, soft_wrap=True)
        return 1
