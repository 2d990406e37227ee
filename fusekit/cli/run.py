"""``fusekit run``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from fusekit.cli.options import Device, Override, With, add_local_files
from fusekit.launch import launch

_SECONDS_BEFORE_REPORTING = 5.0


class StageName(str, Enum):
    """One stage of a run."""

    train = "train"
    fuse = "fuse"
    evaluate = "evaluate"


def run(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped recipe.")],
    override: Override = None,
    runs: Annotated[Path, typer.Option("--runs", help="Folder of all runs.")] = Path("runs"),
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted training.")] = False,
    device: Device = "auto",
    with_: With = None,
    stage: Annotated[StageName | None, typer.Option("--stage", help="Run only this stage.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")] = False,
) -> None:
    """Train, fuse, evaluate and report as the recipe specifies; finished stages are skipped.

    Example: fusekit run recipes/uaafusion_msrs.yaml -o data.root=MSRS
    """
    with _first_process_reports():
        add_local_files(with_)
        from fusekit.recipe.recipe import Recipe

        chosen = Recipe.load(recipe, override or ())  # before importing torch, so that a mistake is shown at once
        from fusekit.pipeline.display import Display
        from fusekit.pipeline.run import run as run_recipe

        done = run_recipe(
            chosen,
            runs=runs,
            device=device,
            resume=resume,
            stage=stage.value if stage is not None else None,
            display=Display(quiet=quiet),
        )
        from fusekit.training.distributed import is_first

    if is_first():
        typer.echo(str(done.folder.report if done.folder.report.exists() else done.folder.path))


@contextmanager
def _first_process_reports() -> Iterator[None]:
    """Lets the first process of each machine report an error that all processes of ``torchrun`` raise.

    The others wait before they raise it. ``torchrun`` ends them as soon as the first process has reported and ended;
    an error that the first process does not raise is reported after the wait.
    """
    local_rank = launch().local_rank
    try:
        yield
    except Exception:
        if local_rank > 0:
            time.sleep(_SECONDS_BEFORE_REPORTING)
        raise
