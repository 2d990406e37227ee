"""``fusekit fuse``: images, folders and videos with a model that is there."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusekit.cli.options import Device, With, add_local_files
from fusekit.errors import RunError, UsageError

if TYPE_CHECKING:
    from fusekit.fusing.model import FusionModel
    from fusekit.fusing.options import FuseOptions
    from fusekit.fusing.registration import Registration
    from fusekit.pipeline.display import Display

_SHOWN = 20  # failures and notes that are printed one by one


class RangeName(str, Enum):
    """Output range."""

    clip = "clip"
    fixed = "fixed"
    stretch = "stretch"


class DepthName(str, Enum):
    """Bits of a sample."""

    keep = "keep"
    eight = "8"
    sixteen = "16"


class FormatName(str, Enum):
    """Format of the files in a folder."""

    png = "png"
    tif = "tif"


class AlignName(str, Enum):
    """How sources are laid on each other."""

    off = "off"
    shift = "shift"
    homography = "homography"


def fuse(
    out: Annotated[Path, typer.Option("--out", "-o", help="File, or folder, to write to.")],
    sources: Annotated[
        list[Path] | None,
        typer.Argument(metavar="A B", help="Images, folders of images, or videos, in the order of the model's roles."),
    ] = None,
    model: Annotated[
        str,
        typer.Option("--model", "-m", help="mean, max, laplacian, a model file, or the folder of a run."),
    ] = "laplacian",
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="ROLE=PATH", help="A source by its role; may be repeated."),
    ] = None,
    output_range: Annotated[
        RangeName,
        typer.Option(
            "--range", help="clip: as the model gives it; fixed: --limits; stretch: each image's minimum and maximum."
        ),
    ] = RangeName.clip,
    limits: Annotated[
        str | None,
        typer.Option("--limits", metavar="LOW,HIGH", help="What becomes black and white with --range fixed."),
    ] = None,
    colour: Annotated[
        str, typer.Option("--colour", help="auto, luma (grey), channels (red, green, blue one by one), or a role.")
    ] = "auto",
    bit_depth: Annotated[DepthName, typer.Option("--bit-depth", help="keep: that of the deepest source.")] = (
        DepthName.keep
    ),
    tile: Annotated[
        str, typer.Option("--tile", help="auto: large images in tiles; off; or the side of the tiles.")
    ] = "auto",
    format_: Annotated[FormatName, typer.Option("--format", help="Of the files in a folder.")] = FormatName.png,
    align: Annotated[
        AlignName, typer.Option("--align", help="Estimate how the sources lie, and lay them on the largest.")
    ] = AlignName.off,
    audio: Annotated[
        str | None,
        typer.Option("--audio", metavar="ROLE|none", help="Whose sound a video gets; the first that has any."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Scenes at a time.")] = 1,
    contact_sheet: Annotated[
        bool, typer.Option("--contact-sheet", help="Also draw a sheet of small pictures (folders).")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    device: Device = "auto",
    with_: With = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings.")] = False,
) -> None:
    """Fuse images, folders of images, or videos.

    Images of folders are paired by their names without extension; what is done is skipped, so a run that was
    interrupted goes on where it was. Without --model: a Laplacian pyramid, which needs no training.

    Example: fusekit fuse thermal/ visible/ -o fused/ --model runs/uaafusion-msrs
    """
    add_local_files(with_)
    from fusekit.fusing.inputs import assign_roles, kind_of
    from fusekit.fusing.model import load
    from fusekit.fusing.options import FuseOptions
    from fusekit.fusing.registration import Registration
    from fusekit.pipeline.display import Display

    options = FuseOptions(
        output_range.value,
        _limits(limits),
        colour,
        "keep" if bit_depth is DepthName.keep else int(bit_depth.value),  # type: ignore[arg-type]
        tile if tile in ("auto", "off") else _side(tile),  # type: ignore[arg-type]
    )
    loaded = load(model, device=_own_device(device))
    given = assign_roles(loaded.roles, sources or [], _named(source or []), count=loaded.backbone.source_count)
    kind = kind_of(given)
    display = Display(quiet=quiet)
    for path in _given_twice(given):
        display.warn(f"{path} is given twice: it is fused with itself")
    registration = Registration(align.value)
    if kind == "images":
        _one(loaded, given, out, options, registration, overwrite, display)
    elif kind == "folders":
        _folders(
            loaded, model, given, out, options, registration, overwrite, display, jobs, contact_sheet, format_.value
        )
    else:
        if align is not AlignName.off:
            raise UsageError("--align does not go with videos, frames would move one by one", hint="align them first")
        _videos(loaded, given, out, options, registration, audio, overwrite, display)


def _one(
    model: FusionModel,
    given: dict[str, Path],
    out: Path,
    options: FuseOptions,
    registration: Registration,
    overwrite: bool,
    display: Display,
) -> None:
    from fusekit.data.decoding import read_raster
    from fusekit.data.image_writing import WRITTEN_SUFFIXES, check_suffix, write_raster
    from fusekit.fusing.picture import storable

    first = next(iter(given.values()))
    if out.is_dir() or (out.suffix.lower() not in WRITTEN_SUFFIXES and not out.suffix):
        out = out / f"{first.stem}.png"
    check_suffix(out)
    _refuse_source(out, given)
    if os.path.lexists(out) and not overwrite:
        raise UsageError(f"{out} exists; it is not overwritten", hint="--overwrite replaces it")
    pictures, notes = registration([read_raster(path) for path in given.values()], list(given))
    for note in notes:
        display.warn(note)
    with display.progress("tiles") as advance:
        fused = model.fuse_pictures(pictures, storable(options, pictures, out.suffix), advance=advance)
    write_raster(out, fused)
    typer.echo(str(out))


def _folders(
    model: FusionModel,
    name: str,
    given: dict[str, Path],
    out: Path,
    options: FuseOptions,
    registration: Registration,
    overwrite: bool,
    display: Display,
    jobs: int,
    sheet: bool,
    format_: str,
) -> None:
    import torch

    from fusekit.fusing.contact_sheet import write_contact_sheet
    from fusekit.fusing.folder import FolderJob
    from fusekit.fusing.model import MODEL_FILE
    from fusekit.fusing.pairs import pair_folders

    if out.is_file():
        raise UsageError(f"{out} is a file; folders are fused into a folder")
    for role, folder in given.items():
        if out.exists() and out.samefile(folder):
            raise UsageError(f"{out} is the folder of the {role} source", hint="choose another folder for the results")
    scenes, odd = pair_folders(given)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if jobs > 1:  # the threads share the cores
        torch.set_num_threads(max(1, torch.get_num_threads() // jobs))
    path = Path(name)
    model_file = (path / MODEL_FILE if path.is_dir() else path) if model.card is not None else None
    job = FolderJob(
        model=model,
        name=name,
        model_file=model_file,
        out=out,
        suffix=".png" if format_ == "png" else ".tif",
        options=options,
        overwrite=overwrite,
        prepare=lambda pictures, scene: registration(pictures, list(scene.files)),
        settings={"align": registration.align},
    )
    start = time.monotonic()
    with display.progress("fuse") as advance:
        result = job.run(scenes, jobs=jobs, rank=rank, world=world, advance=advance)
    failed = {**result.failed, **(odd if rank == 0 else {})}
    _tell(display.warn, {scene: "; ".join(notes) for scene, notes in result.notes.items()})
    _tell(display.warn, failed)
    seconds = time.monotonic() - start
    display.say(
        f"{len(result.fused)} fused in {seconds:.0f} s, {len(result.skipped)} done before, {len(failed)} failed"
    )
    if sheet and world > 1:
        display.warn(
            "no contact sheet: other processes may still be at work; the same command without torchrun adds it"
        )
    elif sheet and len(result.fused) + len(result.skipped) > 0:
        typer.echo(str(write_contact_sheet(scenes, out, job.suffix)))
    typer.echo(str(out))
    if failed:
        raise RunError(
            f"{len(failed)} of {len(scenes) + len(odd)} scenes failed; the others are in {out}",
            hint="mend or remove those files and run the same command again: what is done is skipped",
        )


def _videos(
    model: FusionModel,
    given: dict[str, Path],
    out: Path,
    options: FuseOptions,
    registration: Registration,
    audio: str | None,
    overwrite: bool,
    display: Display,
) -> None:
    from fusekit.fusing.model import picture_of
    from fusekit.fusing.video import fuse_videos

    if out.is_dir() or not out.suffix:
        out = out / f"{next(iter(given.values())).stem}.mp4"
    if options.bit_depth == 16:
        raise UsageError("--bit-depth 16 does not go with videos, which have 8 bits")
    checked = False
    with (
        model.stream(
            output_range=options.output_range, limits=options.limits, colour=options.colour, tile=options.tile
        ) as stream,
        display.progress("frames") as advance,
    ):

        def fuse_frames(frames: Sequence[Any]) -> Any:
            nonlocal checked
            if not checked:  # the first frames say whether the cameras lie on each other
                checked = True
                for note in registration([picture_of(frame) for frame in frames], list(given))[1]:
                    display.warn(note.replace("--align shift lays it in place", "align the videos first"))
            return stream.fuse(*frames)

        done = fuse_videos(fuse_frames, given, out, overwrite=overwrite, audio_from=audio, advance=advance)
    for warning in done.warnings:
        display.warn(warning)
    display.say(f"{done.frames} frames, {done.seconds:.1f} s of video")
    typer.echo(str(out))


def _own_device(device: str) -> str:
    """Under torchrun every process takes a GPU of its own."""
    import torch

    if device == "auto" and "LOCAL_RANK" in os.environ and torch.cuda.is_available():
        return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    return device


def _refuse_source(out: Path, given: dict[str, Path]) -> None:
    for path in given.values():
        if out.exists() and out.samefile(path):
            raise UsageError(f"{out} is one of the sources", hint="choose another file for the result")


def _given_twice(given: dict[str, Path]) -> list[Path]:
    seen: list[Path] = []
    twice = []
    for path in given.values():
        if any(path.samefile(other) for other in seen):
            twice.append(path)
        seen.append(path)
    return twice


def _named(source: list[str]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for text in source:
        role, sign, path = text.partition("=")
        if not sign or not role or not path:
            raise UsageError(f"--source {text}: write it as ROLE=PATH")
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
        raise UsageError(f"--limits {text}: write it as LOW,HIGH, such as 0.1,0.8") from None
    return low, high


def _side(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--tile {text}: write auto, off, or a number of pixels") from None


def _tell(say: Any, sentences: dict[str, str]) -> None:
    for scene, sentence in list(sentences.items())[:_SHOWN]:
        say(f"{scene}: {sentence}")
    if len(sentences) > _SHOWN:
        say(f"and {len(sentences) - _SHOWN} more")
