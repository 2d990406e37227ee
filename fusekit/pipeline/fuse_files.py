"""What ``fusekit fuse`` does, for programs: images, folders of images or videos into a file or folder."""

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
from fusekit.fusing.folder import FolderJob, Prepare, output_name
from fusekit.fusing.model import FusionModel, load, raster_of
from fusekit.fusing.pairs import Scene, pair_folders
from fusekit.fusing.scenes import storable
from fusekit.launch import launch
from fusekit.pipeline.inputs import InputKind, assign_roles, given_twice, kind_of
from fusekit.progress import Advance
from fusekit.recipe.fuse_options import FuseOptions, fuse_options
from fusekit.registration.registration import AlignChoice, Registration
from fusekit.report.contact_sheet import write_contact_sheet
from fusekit.video import fuse_videos

LOOKED_AT = 5
"""Scenes of a folder that are looked at for a shift: looking costs several times as much as fusing by a rule."""


@dataclass(frozen=True)
class FuseResult:
    """What was made.

    Attributes:
        out: The file or folder.
        kind: ``images``, ``folders`` or ``videos``.
        fused: Ids of the scenes that were fused now: stems of files.
        skipped: Ids of those that were done before; of folders.
        failed: Id and reason of scenes that failed; of folders, for a single scene raises.
        notes: What should be known, a sentence each.
        frames: Number of frames of a video.
        contact_sheet: The sheet, if one was drawn.
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
    model: FusionModel | str | Path = "laplacian",
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
        sources: In the order of the model's roles, or by role.
        out: File or folder to write to. A folder resumes: what is done is skipped.
        named: Further sources by role; those in order then take the roles that are left.
        model: A model, or what `load` takes.
        align: Register the sources to the largest one before fusing: ``off``, ``shift`` or ``homography``; images and
            folders only.
        file_format: Format of the files in a folder.
        audio: Role whose audio track a video gets, or ``none``; the first that has one when None.
        jobs: Scenes of a folder that are fused in parallel.
        contact_sheet: Also draw a sheet of small pictures; folders only.
        overwrite: Replace files that are there.
        device: Where a model that is loaded here works: ``auto``, ``cpu``, ``cuda``, …
        advance: Progress callback.
        **options: Fields of `FuseOptions`: ``range``, ``limits``, ``colour``, ``bit_depth``, ``tile``.

    Raises:
        UsageError: Something that cannot be: roles, options, an output that exists or is a source.
        DataError: A source is missing or cannot be read; of folders, only if no scene can be found.
        RunError: The result cannot be written. What was done by then is kept.

    Example:
        >>> fusekit.fuse(["thermal/", "visible/"], "fused/", model="runs/uaafusion-msrs").failed
        {}
    """
    loaded = model if isinstance(model, FusionModel) else load(model, device=device)
    ordered, by_role = ([], sources) if isinstance(sources, Mapping) else (sources, {})
    given = assign_roles(
        loaded.roles,
        [Path(path) for path in ordered],
        {role: Path(path) for role, path in {**by_role, **(named or {})}.items()},
        count=loaded.backbone.source_count,
    )
    request = _Request(
        loaded,
        type(loaded.backbone).__name__ if isinstance(model, FusionModel) else str(model),
        given,
        Path(out),
        fuse_options(**options),
        Registration(align),
        overwrite,
        tuple(f"{path} is given twice: it is fused with itself" for path in given_twice(given)),
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
    """What is to be fused, and how."""

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
            raise UsageError(f"{self.out} is a file; folders are fused into a folder")
        for role, folder in self.given.items():
            if same_file(self.out, folder):
                hint = "choose another folder for the results"
                raise UsageError(f"{self.out} is the folder of the {role} source", hint=hint)
        scenes, odd = pair_folders(self.given)
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
        notes = [*self.notes, *(f"{scene}: {note}" for scene, found in done.notes.items() for note in found)]
        if process.world > 1:
            share = len(done.fused) + len(done.skipped) + len(done.failed)
            notes.append(f"process {process.rank} of {process.world}: its share is {share} of {len(scenes)} scenes")
        sheet = None
        if contact_sheet and process.world > 1:
            notes.append("no contact sheet while other processes work: the same command without torchrun adds it")
        elif contact_sheet and done.fused + done.skipped:
            sheet = write_contact_sheet(scenes, self.out, lambda scene: output_name(scene, job.suffix))
        failed = {**done.failed, **(odd if process.rank == 0 else {})}
        return FuseResult(
            self.out, "folders", tuple(done.fused), tuple(done.skipped), failed, tuple(notes), contact_sheet=sheet
        )

    def prepare(self, scenes: Sequence[Scene]) -> Prepare:
        """Registers the sources of every scene; without `align` the first few are looked at, which tell of a rig."""
        looked_at = {scene.id for scene in scenes[:LOOKED_AT]}

        def look(rasters: list[Raster], scene: Scene) -> tuple[list[Raster], tuple[str, ...]]:
            if self.registration.align == "off" and scene.id not in looked_at:
                return rasters, ()
            return self.registration(rasters, list(scene.files))

        return look

    def videos(self, audio: str | None) -> FuseResult:
        if self.registration.align != "off":
            raise UsageError("--align does not go with videos, frames would move one by one", hint="align them first")
        if self.options.bit_depth == 16:
            raise UsageError("--bit-depth 16 does not go with videos, which have 8 bits")
        out, seen = self.file(".mp4"), list[str]()
        look, checked = Registration(remedy="align the videos first"), False
        with self.model.stream(**self.options.model_dump()) as stream:

            def fuse_frames(frames: Sequence[Any]) -> Any:
                nonlocal checked
                if not checked:  # the first frames say whether the cameras lie on each other
                    checked = True
                    seen.extend(look([raster_of(frame) for frame in frames], list(self.given))[1])
                return stream.fuse(*frames)

            done = fuse_videos(
                fuse_frames, self.given, out, overwrite=self.overwrite, audio_from=audio, advance=self.advance
            )
        return FuseResult(
            out, "videos", (self.first.stem,), notes=(*self.notes, *seen, *done.warnings), frames=done.frames
        )

    @property
    def first(self) -> Path:
        """The first source, after which a result is called that was given no name."""
        return next(iter(self.given.values()))

    def file(self, suffix: str) -> Path:
        """The file to write: as given, or in the folder that was given."""
        in_folder = self.out.is_dir() or not self.out.suffix
        return self.out / f"{file_name(self.first.stem)}{suffix}" if in_folder else self.out

    def refuse_source(self, out: Path) -> None:
        for path in self.given.values():
            if same_file(out, path):
                raise UsageError(f"{out} is one of the sources", hint="choose another file for the result")


@contextmanager
def _shared_cores(jobs: int) -> Iterator[None]:
    """Inside, each of several threads that fuse uses its share of the cores."""
    before = torch.get_num_threads()
    if jobs > 1:
        torch.set_num_threads(max(1, before // jobs))
    try:
        yield
    finally:
        torch.set_num_threads(before)
