"""``fusekit plugins new``. Imports no torch."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from fusekit.authoring.scaffold import KINDS_TO_START, component_name, write_plugin


def new(
    name: Annotated[str, typer.Argument(help="Name of the plugin: lower-case letters, digits, hyphens.")],
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help=f"One of {', '.join(KINDS_TO_START)}.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Folder to create (default: fusekit-NAME in the current folder)."),
    ] = None,
) -> None:
    """Create a new plugin: a separate distribution with one working component, its tests and a recipe.

    Example: fusekit plugins new depth-prior --kind loss-proposer
    """
    folder = out if out is not None else Path(f"fusekit-{name}")
    written = write_plugin(name, kind, folder)
    typer.echo(f"{folder}: a plugin with the {kind} {component_name(name, kind)}")
    for path in written:
        typer.echo(f"  {path.relative_to(folder)}")
    typer.echo("\nnext:")
    for line in (
        f"cd {shlex.quote(str(folder))}",
        "pip install -e '.[test]'",
        "pytest",
        f"fusekit plugins check {name}",
        "fusekit validate recipe.yaml",
    ):
        typer.echo(f"  {line}")
