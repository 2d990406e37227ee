"""Atomic file writing: a killed process or a full disk never leaves a partial file. Imports no torch."""

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
    """Writes a file atomically: `write` fills a temporary file in the same folder, which is then renamed to `path`.

    Raises:
        RunError: The file cannot be written (disk full, no permission); an existing file is left unchanged.
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
            hint="free disk space or choose a writable folder, then run again; finished results are kept",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically as UTF-8; what cannot be encoded (stray bytes of a file name) becomes `?`."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8", errors="replace", newline="\n")

    write_atomically(path, write)


_LONGEST_NAME = 200
"""Maximum length of a name in bytes. File systems allow 255; suffixes and temporary files add to the name."""

_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_HAS_DIGEST = re.compile(r"~[0-9a-f]{8}$")


def file_name(identifier: str, taken: Collection[str] = ()) -> str:
    """File name without suffix for a scene's identifier; different identifiers get different names.

    An identifier that is valid on every common file system is used unchanged. In any other, invalid characters are
    replaced by ``_``; it is cut to 200 bytes and gets a suffix of ``~`` and eight digits of its SHA-256, so that
    names do not collide.

    Args:
        identifier: Identifier of the scene.
        taken: Names that are already used in the folder.
    """
    name = "".join("_" if _unsafe(character) else character for character in identifier)
    name = name.encode("utf-8", "replace")[:_LONGEST_NAME].decode("utf-8", "ignore")
    name = re.sub(r"^\.+|[. ]+$", "_", name) or "_"
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    if name == identifier and name not in taken and not _HAS_DIGEST.search(name):
        return name
    digest = hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name}~{digest}"


def _unsafe(character: str) -> bool:
    """Whether a character in a name is invalid on some file system, or in some shell or line-based format."""
    return character in '<>:"/\\|?*' or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal.

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
    """Whether two paths refer to the same existing file or folder."""
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
