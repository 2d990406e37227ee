"""The ``fusekit`` command: its sub-commands, its errors and its exit codes."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import click
import typer
from rich.console import Console
from rich.markup import escape

from fusekit._version import __version__
from fusekit.cli import doctor, explain, plugins, recipes, run, weights
from fusekit.errors import FusekitError
from fusekit.plugin.loader import PluginPolicy
from fusekit.plugin.registry import registry, set_policy

app = typer.Typer(
    name="fusekit",
    help="Fuse registered images of one scene, and train the networks that do it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command("run")(run.run)
app.command("validate")(recipes.validate)
app.command("explain")(explain.explain)
app.command("doctor")(doctor.doctor)
app.add_typer(recipes.app, name="recipes")
app.add_typer(plugins.app, name="plugins")
app.add_typer(weights.app, name="weights")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"fusekit {__version__}")
        raise typer.Exit


@app.callback()
def options(
    no_plugins: Annotated[
        bool, typer.Option("--no-plugins", help="Load fusekit's own plugins only.")
    ] = False,
    plugin: Annotated[
        list[str] | None, typer.Option("-p", metavar="no:NAME", help="Do not load a plugin; may be repeated.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that come before the command. --debug, anywhere, shows the traceback of an error."""
    disabled = set()
    for entry in plugin or []:
        if not entry.startswith("no:") or not entry[3:]:
            raise typer.BadParameter(f"{entry!r}: write -p no:NAME", param_hint="-p")
        disabled.add(entry[3:])
    policy = PluginPolicy.from_environment()
    set_policy(
        PluginPolicy(
            third_party=not no_plugins, only=policy.only, disabled=policy.disabled | frozenset(disabled)
        )
    )


def main(arguments: list[str] | None = None) -> None:
    """Entry point: runs a command and exits with 0 ok, 1 failed, 2 usage or recipe, 3 plugin, 4 data."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    sys.exit(_run(words, debug))


def _run(words: list[str], debug: bool) -> int:
    console = Console(stderr=True)
    try:
        code = app(words, standalone_mode=False)
        _mention_failed_plugins(console, words)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        console.print("interrupted", style="yellow")
        return 1
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
        console.print("[cyan]--debug shows the traceback; please report it[/]", highlight=False)
        return 1


def _mention_failed_plugins(console: Console, words: list[str]) -> None:
    """One dim line about third-party plugins that did not load, unless the command was about plugins."""
    if words[:1] == ["plugins"] or registry.cache_info().currsize == 0:
        return
    failed = [r.namespace for r in registry().reports if r.state in ("broken", "incompatible", "conflict")]
    if failed:
        names = ", ".join(sorted(set(failed)))
        console.print(f"[dim]{len(failed)} plugin(s) not loaded: {escape(names)} (fusekit plugins list)[/]")
