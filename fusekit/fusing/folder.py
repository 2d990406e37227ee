"""Fusing folders: what is done is skipped, what fails is told at the end, and a kill loses nothing.

A scene is finished in three steps: its file is written under another name, its line is added to the manifest, and the
file is given its name. So a file that has its name is whole and has a line; and a run that was killed between the last
two steps is completed by the next one, which fuses nothing twice.
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
from fusekit.fusing.manifest import Entry, Manifest, refused
from fusekit.fusing.model import FusionModel
from fusekit.fusing.pairs import Scene
from fusekit.fusing.scenes import storable
from fusekit.progress import Advance
from fusekit.recipe.fuse_options import FuseOptions

SHEET = "contact-sheet.png"
"""Name of the contact sheet of a folder, which no scene may take."""

Prepare = Callable[[list[Raster], Scene], tuple[list[Raster], tuple[str, ...]]]
"""Looks at the sources of a scene before they are fused: gives them back, aligned perhaps, and notes about them."""


@dataclass
class FolderResult:
    """What became of the scenes.

    Attributes:
        fused: Ids of those that were fused now.
        skipped: Ids of those that were done before.
        failed: Id and reason of those that failed.
        notes: What was noticed, by id.
    """

    fused: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class FolderJob:
    """A job that fuses scenes into a folder.

    Attributes:
        model: Fuses them.
        name: What the user called the model: a name, or a file.
        out: The folder; is made.
        suffix: Of the files that are written: ``.png`` or ``.tif``.
        options: Range, colour, depth and tiles.
        overwrite: Whether files that are no results of this very job may be replaced.
        prepare: Looks at the sources first; what it does must follow from `settings`.
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
        """Fuses the scenes that are not done, this process's share of them.

        Args:
            scenes: All scenes.
            jobs: Scenes at a time, each in a thread of its own.
            rank: Number of this process.
            world: Number of processes that share the scenes.
            advance: Told about every scene: done, total, id.

        Raises:
            RunError: The disk is full or may not be written. What was done by then is kept.
            UsageError: Another run writes into the folder.
        """
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self.out}: cannot be made a folder ({error.strerror or error})") from error
        share = scenes[rank::world]
        result = FolderResult()
        manifest = Manifest(self.out, rank)
        with manifest.writing():
            runner = _Runner(self, manifest)
            for done, outcome in enumerate(_as_they_come(runner.finish, share, jobs), start=1):
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
        """All settings that change results, as they stand in the manifest."""
        return {**self.options.model_dump(mode="json"), "suffix": self.suffix, **self.settings}


@dataclass(frozen=True)
class _Outcome:
    """What became of a scene: whether it was fused now, what was noticed, why it failed."""

    id: str
    fresh: bool = False
    notes: tuple[str, ...] = ()
    failed: str = ""


class _Runner:
    """Finishes scenes one by one; used by several threads."""

    def __init__(self, job: FolderJob, manifest: Manifest) -> None:
        self.job, self.manifest, self.model_sha256 = job, manifest, model_digest(job.model)
        self.settings = job.plain_settings()
        plain = json.dumps({"model": self.model_sha256, "settings": self.settings}, sort_keys=True)
        self.digest = hashlib.sha256(plain.encode()).hexdigest()
        self.lock = threading.Lock()

    def finish(self, scene: Scene) -> _Outcome:
        """Fuses a scene unless it is done.

        Raises:
            RunError: The disk refuses it, which it would do for every scene.
        """
        start = time.monotonic()
        notes: tuple[str, ...] = ()
        try:
            sources = {role: {"file": str(path), "sha256": file_digest(path)} for role, path in scene.files.items()}
            done = self._done(scene, sources)
            if done is not None:
                return _Outcome(scene.id, notes=tuple(done.notes))
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
            return _Outcome(scene.id, failed="memory does not suffice; fuse in smaller tiles or with fewer jobs")
        except Exception as error:  # of a plugin's model, or of a decoder: the other scenes go on
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

    def _done(self, scene: Scene, sources: Mapping[str, Mapping[str, str]]) -> Entry | None:
        """The line that speaks of this very job, and whose file is there, or was about to be."""
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
        """Refuses to replace a file that is no result of this job.

        Raises:
            UsageError: It is somebody's, or one of the sources.
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
            return  # its sources have changed, or it was damaged
        whose = "was made with another model or other settings" if known else "is no result of fusekit"
        raise UsageError(f"{out} exists and {whose}", hint="--overwrite replaces it")

    def _place(self, out: Path, body: bytes, entry: Entry) -> None:
        part = part_of(out)
        try:
            with part.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            part.unlink(missing_ok=True)
            raise refused(out, error) from error
        try:
            with self.lock:
                self.manifest.add(entry)
        except RunError:
            part.unlink(missing_ok=True)
            raise
        part.replace(out)


def model_digest(model: FusionModel) -> str:
    """SHA-256 of what a model is: its description, its weights, and fusekit's version."""
    digest = hashlib.sha256(json.dumps([__version__, model.system.description], sort_keys=True).encode())
    for name, value in sorted(model.system.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def output_name(scene: str, suffix: str) -> str:
    """File of a scene's result; never that of the contact sheet, which lies in the same folder."""
    return file_name(scene, taken=(Path(SHEET).stem,)) + suffix


def part_of(out: Path) -> Path:
    """Where a result is written before it gets its name."""
    return out.with_name(f".{out.name}.part")


def _as_they_come(finish: Callable[[Scene], _Outcome], scenes: Sequence[Scene], jobs: int) -> Iterator[_Outcome]:
    """Outcomes, in any order; a few scenes ahead at most, so that an error ends the job soon."""
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
