"""The store of a benchmark: values and fused images by the hash of what they were computed from.

A killed benchmark resumes from it, and several processes share it. Each entry is one file, which is written
atomically; two processes that compute the same entry write the same content.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fusekit.data.image_io import read_image, write_image
from fusekit.errors import FusekitError
from fusekit.files import write_text


class Store:
    """Values and images on disk.

    Args:
        folder: Folder of the store; created when something is stored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def values(self, key: str) -> dict[str, Any]:
        """The stored values of an entry by name; empty if there are none, or if the file is damaged."""
        try:
            found = json.loads(self._values(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def add_values(self, key: str, values: Mapping[str, Any]) -> None:
        """Adds values to an entry.

        Raises:
            RunError: The file cannot be written.
        """
        write_text(self._values(key), json.dumps({**self.values(key), **values}, sort_keys=True))

    def image(self, key: str) -> Tensor | None:
        """A stored image, (1 or 3, H, W) float32 in [0, 1]; None if there is none, or if the file is damaged."""
        path = self._image(key)
        if not path.is_file():
            return None
        try:
            return read_image(path)
        except FusekitError:  # computed again
            return None

    def add_image(self, key: str, image: Tensor) -> None:
        """Stores an image with 8 bits per sample.

        Args:
            key: Key of the entry.
            image: (1 or 3, H, W) in [0, 1].

        Raises:
            RunError: The file cannot be written.
        """
        write_image(self._image(key), image)

    def _values(self, key: str) -> Path:
        return self.folder / "values" / key[:2] / f"{key}.json"

    def _image(self, key: str) -> Path:
        return self.folder / "images" / key[:2] / f"{key}.png"
