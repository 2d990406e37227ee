"""``fusekit benchmark`` and ``fusekit compare``: methods × datasets × dialects, as tables and a page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from fusekit.cli.fuse import print_some
from fusekit.cli.options import Device, With, add_local_files
from fusekit.errors import RunError
from fusekit.launch import launch

if TYPE_CHECKING:
    from fusekit.benchmarking.file import BenchmarkFile
    from fusekit.pipeline.display import Display

Out = Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Output folder (default: results/NAME).")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", min=1, help="Number of processes (default: one per core; 1 on a GPU).")
]
Save = Annotated[
    list[Path] | None,
    typer.Option("--save", metavar="FILE", help="Also write the tables to a .csv, .json, .tex, .md or .html file."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files of --save.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the tables, warnings and errors.")]


def benchmark(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The benchmark file.")],
    out: Out = None,
    jobs: Jobs = None,
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave out datasets whose data is missing.")
    ] = False,
    save: Save = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    with_: With = None,
    quiet: Quiet = False,
) -> None:
    """Score methods on datasets as a file specifies, and write tables and a page.

    Values are stored below the output folder: a benchmark that was killed resumes, and one that was changed computes
    only what is new. Images that cannot be scored are listed, and the exit code is then 1.

    Example: fusekit benchmark benchmarks/results.yaml --jobs 2 --save docs/results.md --overwrite
    """
    add_local_files(with_)
    from fusekit.benchmarking.file import BenchmarkFile

    chosen = BenchmarkFile.load(file)  # before importing torch, so that a mistake is shown at once
    _run(chosen, out, jobs, skip_missing, save or [], overwrite, device, quiet)


def compare(
    methods: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Folders of runs, model files, names of shipped weights or fusion rules, or folders of fused images; "
            "NAME=RUN gives a name.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="RECIPE",
            help="Recipe, or folder of a run, whose data is used (default: that of the first run).",
        ),
    ] = None,
    root: Annotated[str | None, typer.Option("--root", metavar="FOLDER", help="Folder of the data.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of scenes; the first ones are used.")
    ] = None,
    dialect: Annotated[
        list[str] | None,
        typer.Option("--dialect", metavar="NAME", help="Compute all metrics of this dialect; may be repeated."),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="Compute only this metric; may be repeated.")
    ] = None,
    out: Out = None,
    jobs: Jobs = None,
    save: Save = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    with_: With = None,
    quiet: Quiet = False,
) -> None:
    """Compare runs, models and folders of fused images with the baselines on the test data of a recipe.

    Example: fusekit compare runs/mine runs/theirs Other=results/other/ --save table.tex
    """
    add_local_files(with_)
    from fusekit.benchmarking.compare import comparison

    chosen = comparison(methods, data=data, root=root, limit=limit, dialects=dialect or (), metrics=metric or ())
    _run(chosen, out, jobs, False, save or [], overwrite, device, quiet)


def _run(
    file: BenchmarkFile,
    out: Path | None,
    jobs: int | None,
    skip_missing: bool,
    save: list[Path],
    overwrite: bool,
    device: str,
    quiet: bool,
) -> None:
    """Run a benchmark, print its tables and save them.

    Raises:
        RunError: Images could not be scored.
    """
    from fusekit.benchmarking.run import benchmark as run_benchmark
    from fusekit.benchmarking.saving import save_benchmark
    from fusekit.pipeline.display import Display
    from fusekit.report.benchmark_text import benchmark_text
    from fusekit.report.saving import check_targets

    check_targets(save, overwrite=overwrite)
    display = Display(quiet=quiet or launch().rank > 0)
    with display.progress("benchmark") as advance:
        done = run_benchmark(
            file, out=out, jobs=jobs, device=device, skip_missing=skip_missing, advance=advance, display=display
        )
    if done is None:
        return
    for path in save:
        save_benchmark(done, path)
    _warn(display, done.plain["notes"], done.problems)
    typer.echo(benchmark_text(done.plain, Console().width))
    for path in [*save, done.page]:
        typer.echo(str(path))
    if done.problems:
        raise RunError(
            "not every image could be scored", hint="the images are listed on the page and in the saved files"
        )


def _warn(display: Display, notes: list[str], problems: list[str]) -> None:
    print_some(display.warn, [note for note in notes if os.linesep not in note])
    print_some(display.warn, problems)
