"""What a folder of results holds and how it was made: one JSON object a line, written as scenes are done."""

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
except ImportError:  # not on Windows; two runs into one folder are then the user's own care
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Entry:
    """One finished scene.

    Attributes:
        id: Of the scene.
        job: Digest of model and settings; see `fusekit.fusing.folder.FolderJob`.
        output: Name of the file in the folder.
        output_sha256: Of that file.
        sources: Of each role, ``file`` and ``sha256``.
        size: Height and width.
        seconds: Time it took, reading and writing included.
        model: Name or file of the model.
        model_sha256: Of the model's description and weights, and of fusekit's version.
        settings: The options of fusing, plain data.
        notes: What was noticed, such as sources that look shifted.
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

    Lines are only added; of several about one scene that one is true whose file is there. A line that a kill cut short
    is dropped.

    Args:
        folder: Of the results.
        rank: Number of this process.
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
        """Opens the file for `add`, and keeps other runs from it.

        Raises:
            UsageError: Another run writes into this folder.
            RunError: The file cannot be written.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise refused(self.path, error) from error
        try:
            if fcntl is not None:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise UsageError(
                        f"{self.folder}: another run writes there at this moment",
                        hint="wait for it, or take another folder",
                    ) from None
                except OSError:  # a file system without locks
                    pass
            _drop_torn_line(descriptor)
            self._descriptor = descriptor
            yield
        finally:
            self._descriptor = None
            os.close(descriptor)

    def add(self, entry: Entry) -> None:
        """Adds a line; it is on the disk when this returns.

        Raises:
            RunError: The disk refuses it.
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
            raise refused(self.path, error) from error
        self.entries.setdefault(entry.id, []).append(entry)


def refused(path: Path, error: OSError) -> RunError:
    """The error of a disk that does not take a file of the folder."""
    return RunError(
        f"{path}: cannot be written ({error.strerror or error}); scenes that are done stay",
        hint="make room or choose a folder that may be written, then run again: what is done is skipped",
    )


def _read(path: Path) -> Iterator[Entry]:
    try:
        lines = path.read_text("utf-8", "replace").split("\n")  # U+2028 in a name ends no line
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror or error})") from error
    for line in lines:
        try:
            yield Entry(**json.loads(line))
        except (ValueError, TypeError):  # cut short by a kill, or not ours: the scene is done again
            continue


def _drop_torn_line(descriptor: int) -> None:
    """Cuts off what stands behind the last line break."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        content = file.read()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.ftruncate(descriptor, whole)
