"""The Python API of ``fusekit fuse``: fuses images, folders of images or videos into a file or folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from fusekit.data.decoding import read_raster
from fusekit.data.image_writing import check_suffix, write_raster
from fusekit.data.raster import Raster
from fusekit.errors import UsageError
from fusekit.files import file_name, same_file
from fusekit.fusing.fusion_model import FusionModel, load, raster_of
from fusekit.fusing.scenes import storable
from fusekit.launch import launch
from fusekit.pipeline.default_model import choose_model
from fusekit.pipeline.fuse_folder import FolderJob, Prepare, output_name
from fusekit.pipeline.inputs import InputKind, assign_roles, kind_of, repeated_sources
from fusekit.pipeline.pairs import Scene, pair_folders
from fusekit.pipeline.source_order import refuse_swapped
from fusekit.progress import Advance
from fusekit.recipe.fuse_options import FuseOptions, fuse_options
from fusekit.registration.registration import AlignChoice, Registration
from fusekit.report.contact_sheet import write_contact_sheet
from fusekit.video import fuse_videos

CHECKED_SCENES = 5
"""Scenes of a folder that are checked for a shift; a check costs several times as much as fusing by a rule."""


@dataclass(frozen=True)
class FuseResult:
    """Result of `fuse`.

    Attributes:
        out: The file or folder.
        kind: ``images``, ``folders`` or ``videos``.
        fused: Ids (file stems) of the scenes that this call fused.
        skipped: Ids of the scenes that were already finished; for folders only.
        failed: Ids of the scenes that failed, with the reason; for folders only, because a single scene raises.
        notes: Notes for the user, one sentence each.
        frames: Number of frames of a video.
        contact_sheet: The contact sheet, if one was written.
    """

    out: Path
    kind: InputKind
    fused: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    frames: int = 0
    contact_sheet: Path | None = None


def fuse(
    sources: Sequence[str | Path] | Mapping[str, str | Path],
    out: str | Path,
    *,
    named: Mapping[str, str | Path] | None = None,
    model: FusionModel | str | Path | None = None,
    task: str | None = None,
    align: AlignChoice = "off",
    file_format: Literal["png", "tif"] = "png",
    audio: str | None = None,
    jobs: int = 1,
    contact_sheet: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    advance: Advance | None = None,
    **options: Any,
) -> FuseResult:
    """Fuses images, folders of images (paired by stem) or videos.

    Args:
        sources: Sources in the order of the model's roles, or by role.
        out: File or folder to write to. In a folder, finished results are skipped, so an interrupted job resumes.
        named: Further sources by role; the ordered sources then take the remaining roles.
        model: A model, or an argument of `load`; default: the default weights of the task, if weights for it are
            installed and take these sources, else the method ``laplacian``.
        task: Task whose default weights are used if no model is given: ``infrared-visible`` (default), ``medical``,
            ``multi-focus``, ``multi-exposure``, or another task for which weights are installed.
        align: Register the sources to the largest one before fusing: ``off``, ``shift`` or ``homography``; images and
            folders only.
        file_format: Format of the files in a folder.
        audio: Role of the source whose audio track is copied to the fused video, or ``none``; None copies the track of
            the first source that has one.
        jobs: Number of scenes of a folder that are fused in parallel.
        contact_sheet: Also write a contact sheet of thumbnails; folders only.
        overwrite: Replace existing files.
        device: Device for a model that is loaded by name or file: ``auto``, ``cpu``, ``cuda``, …
        advance: Progress callback.
        **options: Fields of `FuseOptions`: ``range``, ``limits``, ``colour``, ``bit_depth``, ``tile``.

    Raises:
        UsageError: Roles or options are not valid, the names of the sources suggest another order than that of the
            model's roles, or the output exists or is one of the sources.
        DataError: A source is missing or cannot be read; for folders, only if no scene can be found.
        RunError: The result cannot be written. Scenes finished until then are kept.

    Example:
        >>> fusekit.fuse(["thermal/", "visible/"], "fused/", model="runs/uaafusion-msrs").failed
        {}
    """
    ordered, by_role = ([], sources) if isinstance(sources, Mapping) else (sources, {})
    positional = [Path(path) for path in ordered]
    by_name = {role: Path(path) for role, path in {**by_role, **(named or {})}.items()}
    notes: list[str] = []
    if model is None:
        choice = choose_model(task, len(positional) + len(by_name), by_name)
        model, notes = choice.model, [choice.note] if choice.note else []
    elif task is not None:
        raise UsageError("a task chooses a model, so it cannot be combined with a model", hint="leave out one of them")
    loaded = model if isinstance(model, FusionModel) else load(model, device=device)
    given = assign_roles(loaded.roles, positional, by_name, count=loaded.backbone.source_count)
    if loaded.card is not None:
        refuse_swapped(given, positional)
    request = _Request(
        loaded,
        type(loaded.backbone).__name__ if isinstance(model, FusionModel) else str(model),
        given,
        Path(out),
        fuse_options(**options),
        Registration(align),
        overwrite,
        (*notes, *(f"{path} is given twice: it is fused with itself" for path in repeated_sources(given))),
        advance,
    )
    kind = kind_of(given)
    if kind == "images":
        return request.images()
    if kind == "folders":
        return request.folders(file_format, jobs, contact_sheet)
    return request.videos(audio)


@dataclass(frozen=True)
class _Request:
    """A checked request to fuse sources."""

    model: FusionModel
    name: str
    given: Mapping[str, Path]
    out: Path
    options: FuseOptions
    registration: Registration
    overwrite: bool
    notes: tuple[str, ...]
    advance: Advance | None

    def images(self) -> FuseResult:
        out = self.file(".png")
        check_suffix(out)
        self.refuse_source(out)
        if os.path.lexists(out) and not self.overwrite:
            raise UsageError(f"{out} exists and is not overwritten", hint="--overwrite replaces it")
        rasters, notes = self.registration([read_raster(path) for path in self.given.values()], list(self.given))
        fused = self.model.fuse_rasters(rasters, storable(self.options, rasters, out.suffix), advance=self.advance)
        write_raster(out, fused)
        return FuseResult(out, "images", (self.first.stem,), notes=(*self.notes, *notes))

    def folders(self, file_format: Literal["png", "tif"], jobs: int, contact_sheet: bool) -> FuseResult:
        if self.out.is_file():
            raise UsageError(f"{self.out} is a file, but the result of fusing folders is a folder")
        for role, folder in self.given.items():
            if same_file(self.out, folder):
                hint = "choose another folder for the results"
                raise UsageError(f"{self.out} is the folder of the {role} source", hint=hint)
        scenes, unpaired = pair_folders(self.given)
        process = launch()
        job = FolderJob(
            model=self.model,
            name=self.name,
            out=self.out,
            suffix=".png" if file_format == "png" else ".tif",
            options=self.options,
            overwrite=self.overwrite,
            prepare=self.prepare(scenes),
            settings={"align": self.registration.align},
        )
        with _shared_cores(jobs):
            done = job.run(scenes, jobs=jobs, rank=process.rank, world=process.world, advance=self.advance)
        notes = [*self.notes, *(f"{scene}: {note}" for scene, of_scene in done.notes.items() for note in of_scene)]
        if process.world > 1:
            share = len(done.fused) + len(done.skipped) + len(done.failed)
            notes.append(f"process {process.rank} of {process.world}: its share is {share} of {len(scenes)} scenes")
        sheet = None
        if contact_sheet and process.world > 1:
            notes.append("no contact sheet is written under torchrun; run the same command without torchrun to add it")
        elif contact_sheet and done.fused + done.skipped:
            files = {scene.id: scene.files for scene in scenes}
            sheet = write_contact_sheet(files, self.out, lambda scene: output_name(scene, job.suffix))
        failed = {**done.failed, **(unpaired if process.rank == 0 else {})}
        return FuseResult(
            self.out, "folders", tuple(done.fused), tuple(done.skipped), failed, tuple(notes), contact_sheet=sheet
        )

    def prepare(self, scenes: Sequence[Scene]) -> Prepare:
        """Registers the sources of every scene; with align off, only checks the first few scenes for a shift."""
        checked = {scene.id for scene in scenes[:CHECKED_SCENES]}

        def prepare(rasters: list[Raster], scene: Scene) -> tuple[list[Raster], tuple[str, ...]]:
            if self.registration.align == "off" and scene.id not in checked:
                return rasters, ()
            return self.registration(rasters, list(scene.files))

        return prepare

    def videos(self, audio: str | None) -> FuseResult:
        if self.registration.align != "off":
            raise UsageError(
                "--align cannot be combined with videos, because each frame would be registered separately",
                hint="register the videos first",
            )
        if self.options.bit_depth == 16:
            raise UsageError("--bit-depth 16 cannot be combined with videos, which have 8 bits")
        out, shift_notes = self.file(".mp4"), list[str]()
        check_shift, checked = Registration(remedy="register the videos first"), False
        with self.model.stream(**self.options.model_dump()) as stream:

            def fuse_frames(frames: Sequence[Any]) -> Any:
                nonlocal checked
                if not checked:  # the first frames show whether the cameras are registered to each other
                    checked = True
                    shift_notes.extend(check_shift([raster_of(frame) for frame in frames], list(self.given))[1])
                return stream.fuse(*frames)

            done = fuse_videos(
                fuse_frames, self.given, out, overwrite=self.overwrite, audio_from=audio, advance=self.advance
            )
        return FuseResult(
            out, "videos", (self.first.stem,), notes=(*self.notes, *shift_notes, *done.warnings), frames=done.frames
        )

    @property
    def first(self) -> Path:
        """The first source, which gives its name to a result without a file name."""
        return next(iter(self.given.values()))

    def file(self, suffix: str) -> Path:
        """The output file: the given file, or a file in the given folder."""
        in_folder = self.out.is_dir() or not self.out.suffix
        return self.out / f"{file_name(self.first.stem)}{suffix}" if in_folder else self.out

    def refuse_source(self, out: Path) -> None:
        for path in self.given.values():
            if same_file(out, path):
                raise UsageError(f"{out} is one of the sources", hint="choose another file for the result")


@contextmanager
def _shared_cores(jobs: int) -> Iterator[None]:
    """Divides the cores among the fusing threads for the duration of a ``with`` block."""
    before = torch.get_num_threads()
    if jobs > 1:
        torch.set_num_threads(max(1, before // jobs))
    try:
        yield
    finally:
        torch.set_num_threads(before)
