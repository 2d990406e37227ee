"""Manifest of a results folder: which files it holds and how they were made, one JSON object per line and scene."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fusekit.errors import RunError, UsageError

try:
    import fcntl
except ImportError:  # not available on Windows, where the user must avoid two runs into one folder
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Entry:
    """One finished scene.

    Attributes:
        id: Id of the scene.
        job: Digest of model and settings; see `fusekit.pipeline.fuse_folder.FolderJob`.
        output: Name of the file in the folder.
        output_sha256: Hash of that file.
        sources: ``file`` and ``sha256`` for each role.
        size: Height and width.
        seconds: Time taken, including reading and writing.
        model: Name or file of the model.
        model_sha256: Hash of the model's description, its weights and fusekit's version.
        settings: The fusion options, plain data.
        notes: Notes, for example that sources look shifted.
    """

    id: str
    job: str
    output: str
    output_sha256: str
    sources: Mapping[str, Mapping[str, str]]
    size: tuple[int, int]
    seconds: float
    model: str
    model_sha256: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Manifest:
    """``manifest.jsonl`` of a folder; under torchrun every process but the first has ``manifest.rankN.jsonl``.

    Lines are only appended. If a scene has several lines, the one whose file exists is valid. A line that was cut
    short when a run was killed is dropped.

    Args:
        folder: Results folder.
        rank: Rank of this process.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self.folder = folder
        self.path = folder / (f"manifest.rank{rank}.jsonl" if rank else "manifest.jsonl")
        self.entries: dict[str, list[Entry]] = {}
        for path in sorted(folder.glob("manifest*.jsonl")):
            for entry in _read(path):
                self.entries.setdefault(entry.id, []).append(entry)
        self._descriptor: int | None = None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Opens the file for `add` and locks it against other runs.

        Raises:
            UsageError: Another run is writing into this folder.
            RunError: The file cannot be written.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise write_error(self.path, error) from error
        try:
            if fcntl is not None:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise UsageError(
                        f"{self.folder}: another run is writing into this folder",
                        hint="wait until it has finished, or choose another folder",
                    ) from None
                except OSError:  # a file system without locks
                    pass
            _drop_incomplete_line(descriptor)
            self._descriptor = descriptor
            yield
        finally:
            self._descriptor = None
            os.close(descriptor)

    def add(self, entry: Entry) -> None:
        """Appends a line and flushes it to the disk.

        Raises:
            RunError: The line cannot be written.
        """
        assert self._descriptor is not None, "within `writing` only"
        line = (json.dumps(asdict(entry), ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
        try:
            start = os.lseek(self._descriptor, 0, os.SEEK_END)
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
                os.fsync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, start)
                raise
        except OSError as error:
            raise write_error(self.path, error) from error
        self.entries.setdefault(entry.id, []).append(entry)


def write_error(path: Path, error: OSError) -> RunError:
    """The error for a file of the folder that cannot be written."""
    return RunError(
        f"{path}: cannot be written ({error.strerror or error}); finished scenes are kept",
        hint="free disk space or choose a writable folder, then run again; finished scenes are skipped",
    )


def _read(path: Path) -> Iterator[Entry]:
    try:
        lines = path.read_text("utf-8", "replace").split("\n")  # splitlines would also split at U+2028 in a name
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from error
    for line in lines:
        try:
            yield Entry(**json.loads(line))
        except (ValueError, TypeError):  # cut short or not written by fusekit: the scene is fused again
            continue


def _drop_incomplete_line(descriptor: int) -> None:
    """Truncates the file after the last line break."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        content = file.read()
    complete = content.rfind(b"\n") + 1
    if complete < len(content):
        os.ftruncate(descriptor, complete)
