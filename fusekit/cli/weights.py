"""``fusekit weights``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Import and inspect third-party weights.", no_args_is_help=True)


@app.command("import")
def import_(
    name: Annotated[str, typer.Argument(help="Importer of the file's format, or the plugin that has it (uaafusion).")],
    file: Annotated[Path, typer.Argument(help="The released file, such as weights.pth.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Model file to write, OUT.safetensors.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Convert released weights to a fusekit model file. Reads tensors only and never runs code from the file.

    Example: fusekit weights import uaafusion released.pth -o uaafusion.safetensors
    """
    from fusekit.weights.importing import import_weights

    card = import_weights(name, file, out, overwrite=overwrite)
    typer.echo(f"{out}: {card.model['backbone']['use']}")
    for note in card.provenance["notes"]:
        typer.echo(f"  {note}")


@app.command("show")
def show(file: Annotated[Path, typer.Argument(help="A model file.")]) -> None:
    """Show a model file's description as JSON: parts, roles, classes and the origin of its weights."""
    import json
    from dataclasses import asdict

    from fusekit.recipe.model_card import read_card

    typer.echo(json.dumps(asdict(read_card(file)), indent=2))
