"""``fusekit fuse``: fuse images, folders and videos with an existing model."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from fusekit.cli.options import Device, With, add_local_files
from fusekit.errors import RunError, UsageError
from fusekit.launch import launch
from fusekit.recipe.fuse_options import FuseOptions

if TYPE_CHECKING:
    from fusekit.pipeline.display import Display
    from fusekit.pipeline.fuse_files import FuseResult

_SHOWN = 20  # failures and notes that are printed one by one


class FormatName(str, Enum):
    """Format of the files in a folder."""

    png = "png"
    tif = "tif"


class AlignName(str, Enum):
    """How sources are registered to each other."""

    off = "off"
    shift = "shift"
    homography = "homography"


def _option(name: str, shown: str | None = None) -> Any:
    """A field of `FuseOptions` as a command-line option."""
    field = FuseOptions.model_fields[name]
    choices = "|".join(str(choice) for choice in get_args(field.annotation))
    text = field.description or ""
    if not text.partition(" ")[0].endswith(":"):  # a text such as `clip: …` begins with a choice, spelt as it is
        text = text[:1].upper() + text[1:]
    return typer.Option(f"--{name.replace('_', '-')}", metavar=shown or choices, help=f"{text}.")


def fuse(
    out: Annotated[Path, typer.Option("--out", "-o", help="File or folder to write to.")],
    sources: Annotated[
        list[Path] | None,
        typer.Argument(metavar="A B", help="Images, folders of images, or videos, in the order of the model's roles."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Model to fuse with: shipped weights, the method mean, max or laplacian, a model file, a run folder, "
            "or hf://ORG/NAME@REVISION (default: the weights for the task, or laplacian without such weights).",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="TASK",
            help="Use the weights for this task: infrared-visible (default), medical, multi-focus, multi-exposure.",
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="ROLE=PATH", help="A source, named by its role; may be repeated."),
    ] = None,
    range_: Annotated[str, _option("range")] = "clip",
    limits: Annotated[str | None, _option("limits", "LOW,HIGH")] = None,
    colour: Annotated[str, _option("colour", "auto|luma|channels|ROLE")] = "auto",
    bit_depth: Annotated[str, _option("bit_depth")] = "keep",
    tile: Annotated[str, _option("tile", "auto|off|PIXELS")] = "auto",
    format_: Annotated[
        FormatName, typer.Option("--format", help="Output format when fusing folders.")
    ] = FormatName.png,
    align: Annotated[
        AlignName, typer.Option("--align", help="Register the sources to the largest one before fusing.")
    ] = AlignName.off,
    audio: Annotated[
        str | None,
        typer.Option(
            "--audio", metavar="ROLE|none", help="Source whose audio track is copied (default: the first that has one)."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Number of scenes fused in parallel.")] = 1,
    contact_sheet: Annotated[
        bool, typer.Option("--contact-sheet", help="Also write a contact sheet of thumbnails (folders only).")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    device: Device = "auto",
    with_: With = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors.")] = False,
) -> None:
    """Fuse images, folders of images, or videos.

    Images in folders are paired by file stem. Finished results are skipped, so an interrupted run resumes. Without
    --model, two sources are fused by the shipped weights for the task. More than two sources, or two if no weights for
    the task are installed, are fused by a Laplacian pyramid, which needs no training.

    Example: fusekit fuse thermal/ visible/ -o fused/ --model runs/uaafusion-msrs
    """
    add_local_files(with_)
    from fusekit.pipeline.default_model import choose_model
    from fusekit.pipeline.display import Display

    display, start, named = Display(quiet=quiet), time.monotonic(), named_paths(source or [])
    if model is None:
        choice = choose_model(task, len(sources or []) + len(named), named)
        model, task = choice.model, None
        if choice.note:
            display.info(choice.note)
    from fusekit.pipeline.fuse_files import fuse as fuse_all

    with display.progress("fuse") as advance:
        done = fuse_all(
            sources or [],
            out,
            named=named,
            model=model,
            task=task,
            align=align.value,
            file_format=format_.value,
            audio=audio,
            jobs=jobs,
            contact_sheet=contact_sheet,
            overwrite=overwrite,
            device=_own_device(device),
            advance=advance,
            range=range_,
            limits=_limits(limits),
            colour=colour,
            bit_depth=_word_or_number(bit_depth),
            tile=_word_or_number(tile),
        )
    _render(done, display, time.monotonic() - start)


def _render(done: FuseResult, display: Display, seconds: float) -> None:
    """Print the results of a job.

    Raises:
        RunError: Scenes failed.
    """
    print_some(display.warn, list(done.notes))
    print_some(display.warn, [f"{scene}: {reason}" for scene, reason in done.failed.items()])
    if done.kind == "folders":
        counts = f"{len(done.fused)} fused in {seconds:.0f} s, {len(done.skipped)} already finished"
        display.info(f"{counts}, {len(done.failed)} failed")
    elif done.kind == "videos":
        display.info(f"{done.frames} frames fused in {seconds:.0f} s")
    if done.contact_sheet is not None:
        typer.echo(str(done.contact_sheet))
    typer.echo(str(done.out))
    if done.failed:
        count = len(done.fused) + len(done.skipped) + len(done.failed)
        raise RunError(
            f"{len(done.failed)} of {count} scenes failed; the others are in {done.out}",
            hint="fix or remove the files of those scenes and run the same command again; finished scenes are skipped",
        )


def _own_device(device: str) -> str:
    """The device of this process: under torchrun with ``auto``, each process uses its own GPU."""
    process = launch()
    import torch

    if device == "auto" and process.world > 1 and torch.cuda.is_available():
        return f"cuda:{process.local_rank % torch.cuda.device_count()}"
    return device


def named_paths(source: list[str]) -> dict[str, Path]:
    """The values of ``--source`` by role.

    Raises:
        UsageError: A value is not of the form ``ROLE=PATH``, or a role is given twice.
    """
    named: dict[str, Path] = {}
    for text in source:
        role, sign, path = text.partition("=")
        if not sign or not role or not path:
            raise UsageError(f"--source {text} is not of the form ROLE=PATH")
        if role in named:
            raise UsageError(f"--source {role}=… is given twice")
        named[role] = Path(path)
    return named


def _limits(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--limits {text} is not of the form LOW,HIGH, such as 0.1,0.8") from None
    return low, high


def _word_or_number(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


def print_some(write: Callable[[str], None], sentences: list[str]) -> None:
    """Write the first sentences, and how many more there are."""
    for sentence in sentences[:_SHOWN]:
        write(sentence)
    if len(sentences) > _SHOWN:
        write(f"and {len(sentences) - _SHOWN} more")
