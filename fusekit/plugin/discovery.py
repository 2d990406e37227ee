"""Finds plugins in the metadata of installed distributions, without importing any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name

from fusekit.plugin.imports import one_line

GROUP = "fusekit"
DISTRIBUTION = "image-fusekit"


@dataclass(frozen=True)
class Candidate:
    """An entry point in the metadata of an installed distribution.

    Attributes:
        namespace: Name of the entry point.
        value: The module that it names.
        distribution: Name of the distribution, in canonical form.
        version: Version of the distribution.
        requires: Requirements of the distribution, as in its metadata.
        folder: Folder that contains the metadata.
        fault: Why the metadata cannot be read; empty if it can be read. Otherwise the other attributes are taken from
            the name of the metadata's folder.
    """

    namespace: str
    value: str
    distribution: str
    version: str
    requires: tuple[str, ...] = ()
    folder: str = ""
    fault: str = ""


def scan(path: Sequence[str] | None = None) -> list[Candidate]:
    """Every entry point of group ``fusekit``, including duplicates of one distribution in several places.

    Args:
        path: Folders to search instead of ``sys.path``.
    """
    distributions = metadata.distributions(path=list(path)) if path is not None else metadata.distributions()
    found: dict[Candidate, None] = {}
    for distribution in distributions:
        info = _info_folder(distribution)
        if info.name.startswith("~"):  # a leftover of an interrupted uninstall; pip warns about it
            continue
        found.update(dict.fromkeys(_candidates(distribution, info)))
    return list(found)


def discover(path: Sequence[str] | None = None) -> list[Candidate]:
    """The entry points of group ``fusekit``, fusekit's own first.

    A distribution that is found more than once (editable installs leave metadata in two places) counts once:
    as for imports, the first place on the path takes precedence.

    Args:
        path: Folders to search instead of ``sys.path``.
    """
    first: dict[str, tuple[str, str]] = {}
    found: dict[tuple[str, str, str], Candidate] = {}
    for candidate in sorted(scan(path), key=lambda c: bool(c.fault)):  # readable metadata before damaged
        place = (candidate.folder, candidate.version)
        if first.setdefault(candidate.distribution, place) == place:
            found.setdefault((candidate.distribution, candidate.namespace, candidate.value), candidate)
    return sorted(found.values(), key=lambda c: (c.distribution != DISTRIBUTION, c.namespace, c.distribution, c.value))


def unreadable() -> dict[Path, str]:
    """Metadata folders whose entry points cannot be read, of plugins and of other distributions, with the reason.

    A single one can make other packages fail: pydantic and torch read the entry points of all distributions.
    """
    found = {}
    for distribution in metadata.distributions():
        try:
            _ = distribution.entry_points
        except Exception as error:
            found[_info_folder(distribution)] = one_line(error)
    return found


def _info_folder(distribution: metadata.Distribution) -> Path:
    """The ``NAME-VERSION.dist-info`` folder; an empty path for a metadata finder without folders."""
    return Path(str(getattr(distribution, "_path", "")))


def _candidates(distribution: metadata.Distribution, info: Path) -> list[Candidate]:
    try:
        points = [point for point in distribution.entry_points if point.group == GROUP]
    except Exception as error:
        # A damaged distribution that has no fusekit plugin is ignored.
        return [_damaged(info, f"entry_points.txt: {one_line(error)}")] if _may_hold_plugin(distribution) else []
    if not points:
        return []
    try:
        name, version = distribution.metadata["Name"], distribution.version
        if not name or not version:
            raise ValueError("no Name or no Version")
        requires = tuple(distribution.requires or ())
    except Exception as error:
        return [_damaged(info, f"METADATA: {one_line(error)}", point) for point in points]
    return [
        Candidate(point.name, point.value, canonicalize_name(name), version, requires, str(info.parent))
        for point in points
    ]


def _may_hold_plugin(distribution: metadata.Distribution) -> bool:
    try:
        text = distribution.read_text("entry_points.txt") or ""
    except Exception:  # not readable as text: fall back to the folder's name
        text = ""
    return f"[{GROUP}]" in text or _info_folder(distribution).name.startswith("fusekit_")


def _damaged(info: Path, fault: str, point: metadata.EntryPoint | None = None) -> Candidate:
    name, _, version = info.name.removesuffix(info.suffix).partition("-")
    distribution = canonicalize_name(name or "unknown")
    namespace = point.name if point is not None else distribution.removeprefix("fusekit-")
    value = point.value if point is not None else ""
    return Candidate(namespace, value, distribution, version, (), str(info.parent), f"damaged metadata, {fault}")
