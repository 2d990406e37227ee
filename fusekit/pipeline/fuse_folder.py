"""Fusing folders: finished scenes are skipped, failures are reported at the end, and a killed run can be resumed.

A scene is finished in three steps: its file is written under a temporary name, its line is added to the manifest, and
the file is renamed to its final name. So a file under its final name is complete and has a line. If a run was killed
between the last two steps, the next run only renames the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from fusekit._version import __version__
from fusekit.data.decoding import read_raster
from fusekit.data.image_writing import encode
from fusekit.data.raster import Raster
from fusekit.errors import FusekitError, RunError, UsageError
from fusekit.files import file_digest, file_name, same_file
from fusekit.fusing.fusion_model import FusionModel
from fusekit.fusing.scenes import storable
from fusekit.pipeline.manifest import Entry, Manifest, write_error
from fusekit.pipeline.pairs import Scene
from fusekit.progress import Advance
from fusekit.recipe.fuse_options import FuseOptions
from fusekit.report.contact_sheet import SHEET

Prepare = Callable[[list[Raster], Scene], tuple[list[Raster], tuple[str, ...]]]
"""Prepares the sources of a scene before fusion: returns them, possibly registered, and notes about them."""


@dataclass
class FolderResult:
    """Result of a folder job.

    Attributes:
        fused: Ids of the scenes that this run fused.
        skipped: Ids of the scenes that were already finished.
        failed: Ids of the scenes that failed, with the reason.
        notes: Notes by scene id.
    """

    fused: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class FolderJob:
    """A job that fuses scenes into a folder.

    Attributes:
        model: The model that fuses the scenes.
        name: The model as the user named it: a name, or a file.
        out: Output folder; created if it does not exist.
        suffix: Suffix of the output files: ``.png`` or ``.tif``.
        options: Range, colour, bit depth and tiles.
        overwrite: Whether files that are not results of this job may be replaced.
        prepare: Prepares the sources before fusion; its effect must be determined by `settings`.
        settings: Further settings that change the results, plain data.
    """

    model: FusionModel
    name: str
    out: Path
    suffix: Literal[".png", ".tif"]
    options: FuseOptions
    overwrite: bool = False
    prepare: Prepare | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def run(
        self,
        scenes: Sequence[Scene],
        *,
        jobs: int = 1,
        rank: int = 0,
        world: int = 1,
        advance: Advance | None = None,
    ) -> FolderResult:
        """Fuses the unfinished scenes among this process's share.

        Args:
            scenes: All scenes.
            jobs: Number of scenes fused in parallel, each in its own thread.
            rank: Rank of this process.
            world: Number of processes that share the scenes.
            advance: Progress callback, called for each scene: done, total, id.

        Raises:
            RunError: The disk is full or not writable. Scenes finished until then are kept.
            UsageError: Another run is writing into the folder.
        """
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"folder {self.out} cannot be created ({error.strerror or error})") from error
        share = scenes[rank::world]
        result = FolderResult()
        manifest = Manifest(self.out, rank)
        with manifest.writing():
            runner = _Runner(self, manifest)
            for done, outcome in enumerate(_in_completion_order(runner.finish, share, jobs), start=1):
                if outcome.failed:
                    result.failed[outcome.id] = outcome.failed
                else:
                    (result.fused if outcome.fresh else result.skipped).append(outcome.id)
                if outcome.notes:
                    result.notes[outcome.id] = outcome.notes
                if advance is not None:
                    advance(done, len(share), outcome.id)
        return result

    def plain_settings(self) -> dict[str, Any]:
        """All settings that change results, as written to the manifest."""
        return {**self.options.model_dump(mode="json"), "suffix": self.suffix, **self.settings}


@dataclass(frozen=True)
class _Outcome:
    """Result of one scene: whether this run fused it, notes, and the reason if it failed."""

    id: str
    fresh: bool = False
    notes: tuple[str, ...] = ()
    failed: str = ""


class _Runner:
    """Finishes single scenes; used by several threads."""

    def __init__(self, job: FolderJob, manifest: Manifest) -> None:
        self.job, self.manifest, self.model_sha256 = job, manifest, model_digest(job.model)
        self.settings = job.plain_settings()
        plain = json.dumps({"model": self.model_sha256, "settings": self.settings}, sort_keys=True)
        self.digest = hashlib.sha256(plain.encode()).hexdigest()
        self.lock = threading.Lock()

    def finish(self, scene: Scene) -> _Outcome:
        """Fuses a scene unless it is finished.

        Raises:
            RunError: The result cannot be written to the disk; this would fail for every scene.
        """
        start = time.monotonic()
        notes: tuple[str, ...] = ()
        try:
            sources = {role: {"file": str(path), "sha256": file_digest(path)} for role, path in scene.files.items()}
            finished = self._finished_entry(scene, sources)
            if finished is not None:
                return _Outcome(scene.id, notes=tuple(finished.notes))
            out = self.job.out / output_name(scene.id, self.job.suffix)
            self._check_may_write(out, scene)
            rasters = [read_raster(path) for path in scene.files.values()]
            if self.job.prepare is not None:
                rasters, notes = self.job.prepare(rasters, scene)
            options = storable(self.job.options, rasters, self.job.suffix)
            fused = self.job.model.fuse_rasters(rasters, options)
            body = encode(out, fused)
        except RunError:
            raise
        except FusekitError as error:
            return _Outcome(scene.id, failed=str(error).replace("\n", ". "))
        except MemoryError:
            return _Outcome(scene.id, failed="not enough memory; fuse in smaller tiles or with fewer jobs")
        except Exception as error:  # raised by a plugin's model or a decoder; the other scenes are still fused
            return _Outcome(scene.id, failed=f"{type(error).__name__}: {error}")
        entry = Entry(
            id=scene.id,
            job=self.digest,
            output=out.name,
            output_sha256=hashlib.sha256(body).hexdigest(),
            sources=sources,
            size=fused.size,
            seconds=round(time.monotonic() - start, 3),
            model=self.job.name,
            model_sha256=self.model_sha256,
            settings=self.settings,
            notes=notes,
        )
        self._place(out, body, entry)
        return _Outcome(scene.id, fresh=True, notes=notes)

    def _finished_entry(self, scene: Scene, sources: Mapping[str, Mapping[str, str]]) -> Entry | None:
        """The manifest entry of this job for a scene whose file exists, or only has to be renamed; else None."""
        hashes = {role: source["sha256"] for role, source in sources.items()}
        for entry in self.manifest.entries.get(scene.id, []):
            if entry.job != self.digest or {r: s.get("sha256") for r, s in entry.sources.items()} != hashes:
                continue
            out = self.job.out / entry.output
            if out.is_file() and file_digest(out) == entry.output_sha256:
                return entry
            part = part_of(out)
            if part.is_file() and file_digest(part) == entry.output_sha256:
                part.replace(out)
                return entry
        return None

    def _check_may_write(self, out: Path, scene: Scene) -> None:
        """Refuses to replace a file that is not a result of this job.

        Raises:
            UsageError: The file has another origin, or is one of the sources.
        """
        if out.is_dir():
            raise UsageError(f"{out} is a folder", hint="move it away, or choose another folder for the results")
        for path in scene.files.values():
            if same_file(out, path):
                raise UsageError(f"{out} is one of the sources", hint="choose another folder for the results")
        if self.job.overwrite or not os.path.lexists(out):
            return
        known = [entry for entry in self.manifest.entries.get(scene.id, []) if entry.output == out.name]
        if any(entry.job == self.digest for entry in known):
            return  # the sources have changed, or the result was damaged
        origin = "was made with another model or other settings" if known else "is not a result of fusekit"
        raise UsageError(f"{out} exists and {origin}", hint="--overwrite replaces it")

    def _place(self, out: Path, body: bytes, entry: Entry) -> None:
        part = part_of(out)
        try:
            with part.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            part.unlink(missing_ok=True)
            raise write_error(out, error) from error
        try:
            with self.lock:
                self.manifest.add(entry)
        except RunError:
            part.unlink(missing_ok=True)
            raise
        part.replace(out)


def model_digest(model: FusionModel) -> str:
    """SHA-256 of a model's description, its weights, and fusekit's version."""
    digest = hashlib.sha256(json.dumps([__version__, model.system.description], sort_keys=True).encode())
    for name, value in sorted(model.system.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def output_name(scene: str, suffix: str) -> str:
    """File name of a scene's result; never that of the contact sheet in the same folder."""
    return file_name(scene, taken=(Path(SHEET).stem,)) + suffix


def part_of(out: Path) -> Path:
    """The temporary file to which a result is written before it is renamed."""
    return out.with_name(f".{out.name}.part")


def _in_completion_order(finish: Callable[[Scene], _Outcome], scenes: Sequence[Scene], jobs: int) -> Iterator[_Outcome]:
    """Outcomes as scenes are completed. Only a few scenes are queued, so that an error ends the job soon."""
    if jobs <= 1:
        yield from map(finish, scenes)
        return
    with ThreadPoolExecutor(jobs, thread_name_prefix="fusekit") as pool:
        waiting: set[Future[_Outcome]] = set()
        try:
            for scene in scenes:
                waiting.add(pool.submit(finish, scene))
                if len(waiting) >= 2 * jobs:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            for future in waiting:
                future.cancel()
