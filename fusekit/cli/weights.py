"""``fusekit weights``. Imports torch only in commands that load a model."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from fusekit.cli.options import With, add_local_files
from fusekit.errors import DataError, FusekitError, PluginError

if TYPE_CHECKING:
    from fusekit.weights.verification import Verified

app = typer.Typer(
    help="List, describe and verify shipped weights, pack a run, and import released weights.", no_args_is_help=True
)

Named = Annotated[str, typer.Argument(metavar="NAME", help="Shipped weights, a model file, a run folder, or hf://….")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the weights that installed plugins ship.

    The exit code is 3 if the file of an entry cannot be used.

    Example: fusekit weights list
    """
    from fusekit.plugin.registry import registry
    from fusekit.weights.listing import list_weights

    rows, errors = list_weights(registry())
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
    elif not rows:
        typer.echo("no weights are installed")
    else:
        console = Console()
        width = max(len(row.name) for row in rows)
        for row in rows:
            size = f"{row.bytes / 1e6:.2f} MB" if row.bytes is not None else "unusable"
            count = f", {row.parameters:,} parameters" if row.parameters is not None else ""
            task = f"{row.task} (default)" if row.default else row.task
            console.print(escape(f"{row.name:<{width}}  {task}, {size}{count}"), soft_wrap=True, highlight=False)
            console.print(Padding(escape(row.summary), (0, 0, 0, 2)), highlight=False)
    if errors:
        message = "\n".join(error.message for error in errors)
        raise PluginError(message, hint=errors[0].hint)


@app.command("show")
def show(name: Named) -> None:
    """Show a model file's description as JSON: parts, roles, classes and the origin of its weights."""
    from fusekit.recipe.model_location import locate_model
    from fusekit.weights.pages import metadata_json

    typer.echo(metadata_json(locate_model(name)))


@app.command("card")
def card(
    name: Named,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Page to write, OUT.md, with a picture (default: print the text)."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the model card: data, training, results, limits and licence of packed weights, as Markdown.

    Example: fusekit weights card refusion-ivif -o refusion-ivif.md
    """
    from fusekit.recipe.model_location import locate_model
    from fusekit.weights.pages import card_text, write_card

    file = locate_model(name)
    if out is None:
        typer.echo(card_text(_title(name, file), file), nl=False)
    else:
        write_card(_title(name, file), file, out, overwrite=overwrite)
        typer.echo(str(out))


@app.command("recipe")
def recipe(
    name: Named,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Recipe to write (default: print it).")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the recipe with which packed weights were trained; `fusekit run` trains them again.

    Example: fusekit weights recipe refusion-ivif -o refusion-ivif.yaml
    """
    from fusekit.recipe.model_location import locate_model
    from fusekit.weights.pages import recipe_text, write_recipe

    file = locate_model(name)
    if out is None:
        typer.echo(recipe_text(_title(name, file), file), nl=False)
    else:
        write_recipe(_title(name, file), file, out, overwrite=overwrite)
        typer.echo(str(out))


@app.command("verify")
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Weights to verify (default: all shipped weights).")
    ] = None,
    with_: With = None,
) -> None:
    """Fuse the pair that is stored in the model file, and compare the image and its metrics with the stored ones.

    The fused image may differ by 2 levels of 8 bits, a metric by 1 %, and the predicted class at 0.5 % of the pixels.
    The exit code is 4 if a result differs by more.

    Example: fusekit weights verify refusion-ivif
    """
    add_local_files(with_)
    from fusekit.plugin.registry import registry
    from fusekit.plugin.shipped import shipped_weights
    from fusekit.recipe.model_location import locate_model
    from fusekit.weights.verification import verify_file

    chosen = names or [spec.name for spec in shipped_weights(registry())]
    if not chosen:
        typer.echo("no weights are installed")
    failed: list[FusekitError] = []
    for name in chosen:
        try:
            done = verify_file(locate_model(name))
        except FusekitError as error:
            if len(chosen) == 1:
                raise
            failed.append(error)
            typer.echo(f"{name}: {error.message}")
            continue
        typer.echo(f"{name}: {'; '.join(done.problems) if done.problems else 'verified'}{_measured(done)}")
        if done.problems:
            failed.append(DataError(done.problems[0]))
    if failed:
        kind = DataError if any(isinstance(error, DataError) for error in failed) else PluginError
        raise kind(
            f"{len(failed)} of {len(chosen)} weights do not give the stored results",
            hint="the file was changed or damaged, or a component no longer computes what it did; reinstall both",
        )


@app.command("pack")
def pack(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Model file to write, NAME.safetensors.")],
    task: Annotated[
        str,
        typer.Option(
            "--task",
            help="Task: infrared-visible, medical, multi-focus, multi-exposure, segmentation, or another word.",
        ),
    ],
    summary: Annotated[str, typer.Option("--summary", help="The weights in one sentence.")],
    licence: Annotated[str, typer.Option("--licence", help="Licence of the weights, such as Apache-2.0.")],
    limit: Annotated[list[str], typer.Option("--limit", help="One limit of their use, a sentence; may be repeated.")],
    half: Annotated[
        bool, typer.Option("--half", help="Store numbers in 16 bits; refused if this changes the results.")
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", metavar="PART", help="Keep a part that fusing does not need, such as task."),
    ] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option("--evaluation", metavar="RUN", help="Add the evaluation of another run; may be repeated."),
    ] = None,
    trained_for: Annotated[
        list[str] | None,
        typer.Option("--trained-for", metavar="METRIC", help="Mark a metric that was optimised; may be repeated."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the data, if it is not where the recipe says.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device-name", help="Device of the training, in words.")] = None,
    labels: Annotated[str | None, typer.Option("--labels", help="Nature of the labels, in words.")] = None,
    note: Annotated[
        list[str] | None, typer.Option("--note", help="A further sentence for the model card; may be repeated.")
    ] = None,
    overwrite: Overwrite = False,
    with_: With = None,
) -> None:
    """Make a model file that can be shipped from a finished run.

    The file keeps the parts that fusing needs, the recipe, facts about data and training, the results of the run, and
    a rendered pair with the results for it, on which the file is verified.

    Example: fusekit weights pack runs/refusion-ivif -o refusion-ivif.safetensors --task infrared-visible
    --summary "ReFusion for infrared and visible images" --licence Apache-2.0 --limit "Road scenes only." --half
    """
    add_local_files(with_)
    from fusekit.weights.listing import count_parameters
    from fusekit.weights.packing import Description
    from fusekit.weights.packing import pack as pack_run

    description = Description(
        summary=summary,
        task=task,
        licence=licence,
        limits=limit,
        device=device,
        labels=labels,
        trained_for=trained_for or (),
        notes=note or (),
    )
    done = pack_run(
        run,
        out,
        description,
        keep=keep or (),
        half=half,
        evaluations=evaluation or (),
        data=data,
        overwrite=overwrite,
    )
    left_out = f", without {', '.join(done.release.dropped)}" if done.release.dropped else ""
    size = f"{out.stat().st_size / 1e6:.2f} MB, {count_parameters(out):,} parameters"
    typer.echo(f"{out}: {size}, {', '.join(done.release.kept)}{left_out}")
    typer.echo(f"  verified{_measured(done.verified)}")
    typer.echo("  declare it in the plugin that ships it:")
    typer.echo(
        f'  weights("NAMESPACE.{out.stem}", file="files/{out.name}", task="{task}", summary={json.dumps(summary)})'
    )


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


def _title(name: str, file: Path) -> str:
    """How a card or recipe calls the weights: the name of shipped weights, the address, the run, or the file."""
    from fusekit.plugin.registry import registry
    from fusekit.plugin.shipped import find_weights
    from fusekit.recipe.model_card import MODEL_FILE

    spec = find_weights(name, registry())
    if spec is not None:
        return spec.short
    if "://" in name:
        return name
    return file.parent.resolve().name if file.name == MODEL_FILE else file.name


def _measured(done: Verified) -> str:
    worst = max((abs(now - stored) / max(abs(stored), 1e-9) for stored, now in done.metrics.values()), default=0.0)
    labels = f", class differs at {done.labels:.2%} of the pixels" if done.labels is not None else ""
    return f" ({len(done.metrics)} metrics within {worst:.2%}, image within {done.levels:.1f} levels{labels})"
