"""What a user gave as sources: which is which, and whether they are files, folders or videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from fusekit.data.image_io import IMAGE_SUFFIXES
from fusekit.errors import DataError, UsageError
from fusekit.files import same_file
from fusekit.video.streams import VIDEO_SUFFIXES
from fusekit.words import did_you_mean

InputKind = Literal["images", "folders", "videos"]


def assign_roles(
    roles: Sequence[str], positional: Sequence[Path], named: Mapping[str, Path], *, count: int | None = None
) -> dict[str, Path]:
    """Gives every source its role.

    Args:
        roles: The model's, in order; empty where it takes any number, which are then called a, b, c, …
        positional: Sources without a name; they take the free roles in order.
        named: Sources by role.
        count: How many the model takes where it has no roles; None for any.

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
            hint=f"its roles: {', '.join(roles)}",
        )
    free = [role for role in roles if role not in named]
    if len(positional) != len(free):
        what = f"the model fuses {len(roles)} sources ({', '.join(roles)})"
        raise UsageError(f"{what}, got {len(positional) + len(named)}", hint="give them in this order, or by name")
    given = {**dict(zip(free, positional, strict=True)), **named}
    return {role: given[role] for role in roles}


def given_twice(sources: Mapping[str, Path]) -> list[Path]:
    """Files or folders that stand for more than one source, by whatever name."""
    seen: list[Path] = []
    twice = []
    for path in sources.values():
        if any(same_file(path, other) for other in seen):
            twice.append(path)
        seen.append(path)
    return twice


def kind_of(sources: Mapping[str, Path]) -> InputKind:
    """Whether sources are images, folders or videos.

    Raises:
        DataError: One does not exist.
        UsageError: They are of several kinds, or a file is neither an image nor a video by its name.
    """
    kinds: dict[InputKind, Path] = {}
    for role, path in sources.items():
        if path.is_dir():
            kinds.setdefault("folders", path)
        elif not path.exists():
            raise DataError(f"{path}: there is no such file or folder ({role})")
        elif not path.is_file():  # a pipe or a device, which may never end
            raise DataError(f"{path}: is no regular file ({role})")
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            kinds.setdefault("videos", path)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            kinds.setdefault("images", path)
        else:
            raise UsageError(
                f"{path}: neither an image nor a video by its name ({role})",
                hint=f"images end in {', '.join(sorted(IMAGE_SUFFIXES))}",
            )
    if len(kinds) > 1:
        listed = ", ".join(f"{path} ({kind})" for kind, path in kinds.items())
        raise UsageError(f"sources of several kinds: {listed}", hint="give files, or folders, or videos")
    return next(iter(kinds))
