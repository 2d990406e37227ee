"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fusekit.plugin.registry import registry

Override = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--override",
        metavar="PATH=VALUE",
        help="Change a key of the recipe, such as -o train.epochs=5; may be repeated.",
    ),
]
With = Annotated[
    list[Path] | None,
    typer.Option("--with", metavar="FILE.py", help="Load components from a Python file under the `local.` namespace."),
]
Device = Annotated[str, typer.Option("--device", help="Device to compute on: auto, cpu, cuda, cuda:1 or mps.")]


def add_local_files(files: list[Path] | None) -> None:
    """Registers the components of ``--with`` files.

    Raises:
        PluginError: A file does not load.
    """
    for file in files or []:
        registry().add_local(file)
