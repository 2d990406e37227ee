"""Contact sheet of a folder: small pictures of each scene's sources and fused image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from fusekit.data.decoding import read_raster
from fusekit.errors import DataError
from fusekit.files import write_atomically
from fusekit.report.picture_grid import picture_grid

SHEET = "contact-sheet.png"
"""Name of the contact sheet of a folder; no scene may use it."""
MOST_SCENES = 40
_WIDTH = 280


def write_contact_sheet(scenes: Mapping[str, Mapping[str, Path]], folder: Path, output: Callable[[str], str]) -> Path:
    """Write the contact sheet of the finished scenes into the folder of the results.

    Args:
        scenes: The source files of every scene, by role; if there are more than 40, an evenly spaced selection is
            shown.
        folder: Folder of the results.
        output: Returns the file name of a scene's result.

    Raises:
        DataError: No scene is finished.
        RunError: The file cannot be written.
    """
    done = [scene for scene in scenes if (folder / output(scene)).is_file()]
    if not done:
        raise DataError(f"{folder}: no scene is finished, so the contact sheet would be empty")
    chosen = [
        done[i] for i in np.unique(np.linspace(0, len(done) - 1, min(MOST_SCENES, len(done))).round().astype(int))
    ]
    pictures = []
    for scene in chosen:
        pictures += [(f"{scene}  {path.parent.name}", _small(path)) for path in scenes[scene].values()]
        pictures.append((f"{scene}  fused", _small(folder / output(scene))))
    sheet = picture_grid(pictures, columns=len(scenes[chosen[0]]) + 1, width=_WIDTH)
    path = folder / SHEET
    write_atomically(path, lambda temporary: sheet.save(temporary, format="PNG"))
    return path


def _small(path: Path) -> Image.Image:
    """Read an image as 8 bits, at most twice as wide as on the sheet, which limits the memory of a sheet."""
    raster = read_raster(path)
    step = max(1, raster.size[1] // (2 * _WIDTH))
    part = raster.pixels[::step, ::step].astype(np.float32) / raster.peak
    return Image.fromarray(np.rint(part * 255).astype(np.uint8))
