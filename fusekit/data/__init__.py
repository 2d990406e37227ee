"""Images and scenes; the names for plugins and programs are exported here and imported on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusekit.data.cache import ByteCache as ByteCache
    from fusekit.data.colour import luminance as luminance
    from fusekit.data.colour import restore_colour as restore_colour
    from fusekit.data.image_io import IMAGE_SUFFIXES as IMAGE_SUFFIXES
    from fusekit.data.image_io import image_files as image_files
    from fusekit.data.image_io import read_image as read_image
    from fusekit.data.image_io import read_label as read_label
    from fusekit.data.image_writing import write_image as write_image
    from fusekit.data.training_data import TrainingData as TrainingData

_HOME = {
    "ByteCache": "cache",
    "IMAGE_SUFFIXES": "image_io",
    "TrainingData": "training_data",
    "image_files": "image_io",
    "luminance": "colour",
    "read_image": "image_io",
    "read_label": "image_io",
    "restore_colour": "colour",
    "write_image": "image_writing",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
