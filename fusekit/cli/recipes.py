"""`fusekit recipes …` and `fusekit validate`, thin wrappers around `fusekit.recipe`. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fusekit._version import __version__
from fusekit.authoring.recipe_schema import recipe_schema
from fusekit.cli.options import Override, With, add_local_files
from fusekit.errors import UsageError
from fusekit.plugin.loader import DISTRIBUTION
from fusekit.plugin.registry import registry
from fusekit.recipe.fields import fields_of
from fusekit.recipe.library import SCHEMA_FILE, find_recipe, list_recipes
from fusekit.recipe.recipe import Recipe
from fusekit.recipe.schema import ModelSection

app = typer.Typer(no_args_is_help=True, help="List, show and copy recipes, and write their JSON Schema.")


@app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the recipes shipped with this version.

    Example: fusekit recipes list
    """
    recipes = list_recipes()
    if as_json:
        rows = [{"name": r.name, "path": str(r.path), "summary": r.summary, "header": r.header} for r in recipes]
        typer.echo(json.dumps(rows, indent=2))
        return
    width = max((len(recipe.name) for recipe in recipes), default=0)
    for recipe in recipes:
        typer.echo(f"{recipe.name:<{width}}  {recipe.summary}".rstrip())


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped recipe.")],
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Merge the recipe's parents and fill in every default.")
    ] = False,
    override: Override = None,
    with_: With = None,
) -> None:
    """Print a recipe.

    Example: fusekit recipes show uaafusion_msrs --resolved
    """
    if override and not resolved:
        raise UsageError("-o has an effect only with --resolved", hint="add --resolved")
    if resolved:
        add_local_files(with_)
        typer.echo(Recipe.load(name, override or (), check_data=False).dumps_resolved(), nl=False)
    else:
        typer.echo(find_recipe(name).read_text("utf-8", "replace"), nl=False)


@app.command()
def copy(
    name: Annotated[str, typer.Argument(help="Name of a shipped recipe.")],
    destination: Annotated[
        Path | None,
        typer.Argument(metavar="[DEST]", help="New file or existing folder (default: the current folder)."),
    ] = None,
) -> None:
    """Copy a shipped recipe as the start of your own; the copy records which version it comes from.

    Example: fusekit recipes copy uaafusion_msrs mine.yaml
    """
    source = find_recipe(name)
    target = destination or Path(source.name)
    if target.is_dir():
        target = target / source.name
    stamp = f"# Copied from {source.stem} of {DISTRIBUTION} {__version__}.\n"
    try:
        # Mode "xb" checks for an existing file and creates the new one atomically.
        with target.open("xb") as file:
            file.write(stamp.encode() + source.read_bytes())
    except FileExistsError:
        raise UsageError(f"{target} exists and is not overwritten", hint="choose another file name") from None
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}") from None
    typer.echo(str(target))
    described = target.parent / SCHEMA_FILE
    if not described.exists():  # the first line of shipped recipes refers to this file
        typer.echo(f"for completion in your editor: fusekit recipes schema --out {described}", err=True)


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option("--out", help="Write to this file instead of printing.")] = None,
) -> None:
    """Print the JSON Schema of recipes, for editors; it describes the installed components.

    Example: fusekit recipes schema --out recipe.schema.json
    """
    made, notes = recipe_schema(registry())
    text = json.dumps(made, indent=2, allow_nan=False) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        try:
            out.write_text(text, "utf-8")
        except OSError as error:
            raise UsageError(f"{out} cannot be written: {error.strerror}") from None
    for note in notes:
        typer.echo(f"parameters left open: {note}", err=True)


def validate(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped recipe.")],
    override: Override = None,
    with_: With = None,
) -> None:
    """Check a recipe without running it: structure, component parameters, and whether the parts fit together.

    Missing data is reported but is not an error.

    Example: fusekit validate my_recipe.yaml -o train.epochs=5
    """
    add_local_files(with_)
    typer.echo(summary(Recipe.load(recipe, override or (), check_data=False)))


def summary(recipe: Recipe) -> str:
    """The text that `fusekit validate` prints for a valid recipe."""
    model, section = recipe.model, recipe.model.model
    parts = [f"{key} {part.use}" for key in fields_of(ModelSection) if hasattr(part := getattr(section, key), "use")]
    phases = [
        *((f"pretrain {name}", phase) for name, phase in model.pretrain.items()),
        ("train", model.train),
    ]
    training = [f"{name} with {phase.strategy.use}" for name, phase in phases if phase is not None]
    reads_files = not recipe.data_config.provenance().synthetic  # an inherited root says nothing about rendered scenes
    root = f" in {model.data.root}" if model.data.root and reads_files else ""
    lines = [
        f"ok: {model.name}",
        f"  data: {model.data.use}{root}",
        f"  model: {', '.join(parts)}",
        f"  training: {', then '.join(training) or 'none'}",
        f"  evaluation: {len(model.evaluate.metrics or ())} metrics, {len(model.evaluate.baselines or ())} baselines",
    ]
    if recipe.synthetic_fallback is not None:
        lines.insert(2, f"  when_missing applies: {recipe.synthetic_fallback}")
    if recipe.missing is not None:
        lines.insert(2, f"  data missing: {recipe.missing}")
    return "\n".join(lines)
