"""Scenes of folders: files of the same stem belong together."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fusekit.data.image_io import IMAGE_SUFFIXES, image_files
from fusekit.errors import DataError


@dataclass(frozen=True)
class Scene:
    """The files of one scene.

    Attributes:
        id: Their common stem.
        files: File of each role, in order.
    """

    id: str
    files: Mapping[str, Path]


def pair_folders(folders: Mapping[str, Path]) -> tuple[list[Scene], dict[str, str]]:
    """Pairs the images of folders by stem; extensions may differ.

    Hidden files, other files and subfolders are left alone. Stems are compared as they read: the two ways in which
    accented letters are stored count as one.

    Args:
        folders: Folder of each role.

    Returns:
        The scenes by id; and of each stem that makes none, why.

    Raises:
        DataError: A folder is missing, cannot be listed, or holds no image.
    """
    found = {role: _images(role, folder) for role, folder in folders.items()}
    scenes, odd = [], {}
    for stem in sorted(set().union(*found.values())):
        missing = [str(folders[role]) for role, images in found.items() if stem not in images]
        double = [path for images in found.values() for path in images.get(stem, [])[1:]]
        if missing:
            odd[stem] = f"no image of this stem in {', '.join(missing)}"
        elif double:
            odd[stem] = f"more than one image of this stem in {', '.join(str(path.parent) for path in double)}"
        else:
            scenes.append(Scene(stem, {role: images[stem][0] for role, images in found.items()}))
    return scenes, odd


def _images(role: str, folder: Path) -> dict[str, list[Path]]:
    try:
        files = image_files(folder)
    except FileNotFoundError:
        raise DataError(f"{folder}: there is no such folder ({role})") from None
    except NotADirectoryError:
        raise DataError(
            f"{folder}: is a file, but another source is a folder ({role})", hint="give files or folders, not both"
        ) from None
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror})") from None
    images: dict[str, list[Path]] = {}
    for path in files:
        images.setdefault(unicodedata.normalize("NFC", path.stem), []).append(path)
    if not images:
        inside = any(path.is_dir() for path in folder.iterdir())
        raise DataError(
            f"{folder}: holds no image ({role}); images end in {', '.join(sorted(IMAGE_SUFFIXES))}",
            hint="it has subfolders: name the one with the images" if inside else None,
        )
    return images
