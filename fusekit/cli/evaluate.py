"""``fusekit evaluate``: score fused images, made by any program, against their sources."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fusekit.cli.fuse import named_paths, print_some
from fusekit.cli.options import With, add_local_files
from fusekit.errors import RunError, UsageError

if TYPE_CHECKING:
    from fusekit.pipeline.display import Display
    from fusekit.pipeline.evaluate_files import Evaluation


def evaluate(
    fused: Annotated[
        list[str],
        typer.Argument(
            metavar="FUSED", help="Fused images: a folder or a file, or NAME=PATH for each of several methods."
        ),
    ],
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="ROLE=PATH", help="A source, named by its role; once for each source."),
    ] = None,
    dialect: Annotated[
        list[str] | None,
        typer.Option(
            "--dialect",
            metavar="NAME",
            help="Compute all metrics of this dialect (default: the metrics of every table); may be repeated.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", metavar="NAME", help="Compute only this metric, such as strict.qabf or qabf; may be repeated."
        ),
    ] = None,
    ideal: Annotated[
        Path | None,
        typer.Option("--ideal", metavar="PATH", help="Ground-truth fused images, for metrics that compare with them."),
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines/--no-baselines",
            help="Also score a copy of each source, the mean, the maximum and a Laplacian pyramid.",
        ),
    ] = True,
    save: Annotated[
        list[Path] | None,
        typer.Option(
            "--save", metavar="FILE", help="Also write the results to a .csv, .json, .tex, .md or .html file."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    with_: With = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the table, warnings and errors.")] = False,
) -> None:
    """Score fused images against their sources; the images may have been made by any program.

    Images in folders are paired by file stem; suffixes may differ. With files instead of folders, one pair is scored.
    Images that cannot be scored are listed, and the exit code is then 1.

    Example: fusekit evaluate fused/ --source infrared=thermal/ --source visible=visible/ --save table.tex
    """
    sources = named_paths(source or [])
    add_local_files(with_)
    from fusekit.pipeline.display import Display
    from fusekit.pipeline.evaluate_files import evaluate as evaluate_files

    display = Display(quiet=quiet)
    with display.progress("evaluate") as advance:
        done = evaluate_files(
            _methods(fused),
            sources,
            dialects=dialect or (),
            metrics=metric or (),
            ideal=ideal,
            baselines=baselines,
            save=save or (),
            overwrite=overwrite,
            advance=advance,
        )
    _render(done, display)


def _methods(words: list[str]) -> dict[str, Path]:
    """The fused images by method: ``NAME=PATH``, or a path, of which the last part is the name."""
    from fusekit.pipeline.evaluate_files import default_name

    methods: dict[str, Path] = {}
    for word in words:
        name, sign, path = word.partition("=")
        if not sign or Path(word).exists():
            name, path = default_name(Path(word)), word
        if not name or not path:
            raise UsageError(f"{word} is not of the form NAME=PATH")
        if name in methods:
            raise UsageError(
                f"two methods have the name {name}: {methods[name]} and {path}", hint="name them with NAME=PATH"
            )
        methods[name] = Path(path)
    return methods


def _render(done: Evaluation, display: Display) -> None:
    """Print the table to stdout, and what is missing to stderr.

    Raises:
        RunError: Images could not be scored.
    """
    from fusekit.report.saving import conditions, problems
    from fusekit.report.text_tables import key_text, plain_text

    print_some(display.warn, list(done.notes))
    print_some(display.warn, problems(done.plain))
    for line in (
        " · ".join(f"{name}: {value}" for name, value in conditions(done.plain)),
        plain_text(done.table, Console().width),
        *key_text(done.table),
    ):
        typer.echo(line)
    for path in done.saved:
        typer.echo(str(path))
    if done.problems:
        total = len(set(done.plain["scenes"]) | done.problems)
        raise RunError(
            f"{len(done.problems)} of {total} images could not be scored for every method",
            hint="their values are in no mean; the reasons are listed above and in the saved files",
        )
