"""Sources given by the user: assigns roles, and determines whether they are images, folders or videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from fusekit.data.image_io import IMAGE_SUFFIXES
from fusekit.errors import DataError, UsageError
from fusekit.files import same_file
from fusekit.video.video_fusion import VIDEO_SUFFIXES
from fusekit.words import did_you_mean

InputKind = Literal["images", "folders", "videos"]


def assign_roles(
    roles: Sequence[str], positional: Sequence[Path], named: Mapping[str, Path], *, count: int | None = None
) -> dict[str, Path]:
    """Assigns a role to every source.

    Args:
        roles: Roles of the model, in order; empty if it takes any number of sources, which are named a, b, c, …
        positional: Sources without a role; they take the free roles in order.
        named: Sources by role.
        count: Number of sources of a model without roles; None for any number.

    Returns:
        The sources by role, in the model's order.

    Raises:
        UsageError: A role is unknown, or there are too few or too many sources.
    """
    if not roles:
        letters = (letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter not in named)
        given = {**dict(zip(letters, positional, strict=False)), **named}
        if len(given) < 2 or (count is not None and len(given) != count):
            raise UsageError(f"the model fuses {count or 'two or more'} sources, got {len(given)}")
        return given
    unknown = [role for role in named if role not in roles]
    if unknown:
        raise UsageError(
            f"--source {unknown[0]}=…: the model has no such role{did_you_mean(unknown[0], roles)}",
            hint=f"its roles are {', '.join(roles)}",
        )
    free = [role for role in roles if role not in named]
    if len(positional) != len(free):
        what = f"the model fuses {len(roles)} sources ({', '.join(roles)})"
        raise UsageError(f"{what}, got {len(positional) + len(named)}", hint="give them in this order, or by role")
    given = {**dict(zip(free, positional, strict=True)), **named}
    return {role: given[role] for role in roles}


def repeated_sources(sources: Mapping[str, Path]) -> list[Path]:
    """Files or folders that are given as more than one source, even under different paths."""
    seen: list[Path] = []
    repeated = []
    for path in sources.values():
        if any(same_file(path, other) for other in seen):
            repeated.append(path)
        seen.append(path)
    return repeated


def kind_of(sources: Mapping[str, Path]) -> InputKind:
    """Whether sources are images, folders or videos.

    Raises:
        DataError: A source does not exist, or is not a regular file.
        UsageError: The sources are of several kinds, or a file suffix is neither that of an image nor of a video.
    """
    kinds: dict[InputKind, Path] = {}
    for role, path in sources.items():
        if path.is_dir():
            kinds.setdefault("folders", path)
        elif not path.exists():
            raise DataError(f"{path}: the file or folder does not exist ({role})")
        elif not path.is_file():  # a pipe or a device, which may never end
            raise DataError(f"{path} is not a regular file ({role})")
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            kinds.setdefault("videos", path)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            kinds.setdefault("images", path)
        else:
            raise UsageError(
                f"{path}: its suffix is neither that of an image nor of a video ({role})",
                hint=f"images end in {', '.join(sorted(IMAGE_SUFFIXES))}",
            )
    if len(kinds) > 1:
        listed = ", ".join(f"{path} ({kind})" for kind, path in kinds.items())
        raise UsageError(f"the sources are of several kinds: {listed}", hint="give only images, folders or videos")
    return next(iter(kinds))
