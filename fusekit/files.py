"""Writing files so that a kill or a full disk never leaves half of one. Imports no torch."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import unicodedata
from collections.abc import Callable, Collection
from pathlib import Path

from fusekit.errors import DataError, RunError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a temporary file beside `path`, then renames it into place.

    Raises:
        RunError: The file cannot be written (disk full, no permission); what was there before is untouched.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written ({error.strerror or error}); {_kept(path)}",
            hint="make room or choose a folder that may be written, then run again; what is done is kept",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically, UTF-8; what is no text (a file name's stray bytes) becomes `?`."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8", errors="replace", newline="\n")

    write_atomically(path, write)


_LONGEST_NAME = 200
"""Bytes of a name; 255 is what file systems take, and suffixes and temporary files add to it."""

_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_LIKE_CHANGED = re.compile(r"~[0-9a-f]{8}$")


def file_name(identifier: str, taken: Collection[str] = ()) -> str:
    """A scene's identifier as a file name without suffix; different identifiers have different names.

    An identifier that every common file system takes is its own name. Another has what does not go replaced by ``_``,
    is cut to 200 bytes, and ends in ``~`` and eight digits of its SHA-256, without which names could meet.

    Args:
        identifier: Of the scene.
        taken: Names that something else in the folder has.
    """
    name = "".join("_" if _unsafe(character) else character for character in identifier)
    name = name.encode("utf-8", "replace")[:_LONGEST_NAME].decode("utf-8", "ignore")
    name = re.sub(r"^\.+|[. ]+$", "_", name) or "_"
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    if name == identifier and name not in taken and not _LIKE_CHANGED.search(name):
        return name
    digest = hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name}~{digest}"


def _unsafe(character: str) -> bool:
    """Whether some file system, shell or line-based format cannot do with a character in a name."""
    return character in '<>:"/\\|?*' or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content.

    Raises:
        DataError: The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    return digest.hexdigest()


def same_file(first: Path, second: Path) -> bool:
    """Whether two paths lead to one file or folder, by whatever names; not if one leads nowhere."""
    return first.exists() and second.exists() and first.samefile(second)


def _kept(path: Path) -> str:
    try:
        return "the earlier file of that name is untouched" if path.is_file() else "nothing was written"
    except OSError:
        return "nothing was written"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
