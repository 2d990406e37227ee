"""Pairing of folders into scenes, by file stem."""

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
        id: The common file stem.
        files: The file of each role, in order.
    """

    id: str
    files: Mapping[str, Path]


def pair_folders(folders: Mapping[str, Path]) -> tuple[list[Scene], dict[str, str]]:
    """Pairs the images of folders by file stem; extensions may differ.

    Hidden files, other files and subfolders are ignored. Stems are compared in Unicode normalisation form NFC, so
    composed and decomposed accented letters are equal.

    Args:
        folders: The folder of each role.

    Returns:
        The scenes, sorted by id; and the reason for each stem that does not form a scene.

    Raises:
        DataError: A folder is missing, cannot be listed, or holds no image.
    """
    by_role = {role: _images(role, folder) for role, folder in folders.items()}
    scenes, unpaired = [], {}
    for stem in sorted(set().union(*by_role.values())):
        missing = [str(folders[role]) for role, images in by_role.items() if stem not in images]
        duplicates = [path for images in by_role.values() for path in images.get(stem, [])[1:]]
        if missing:
            unpaired[stem] = f"no image with this stem in {', '.join(missing)}"
        elif duplicates:
            unpaired[stem] = f"more than one image with this stem in {', '.join(str(p.parent) for p in duplicates)}"
        else:
            scenes.append(Scene(stem, {role: images[stem][0] for role, images in by_role.items()}))
    return scenes, unpaired


def _images(role: str, folder: Path) -> dict[str, list[Path]]:
    try:
        files = image_files(folder)
    except FileNotFoundError:
        raise DataError(f"{folder}: the folder does not exist ({role})") from None
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
        has_subfolders = any(path.is_dir() for path in folder.iterdir())
        raise DataError(
            f"{folder}: the folder contains no images ({role}); images end in {', '.join(sorted(IMAGE_SUFFIXES))}",
            hint="it has subfolders; give the one with the images" if has_subfolders else None,
        )
    return images
