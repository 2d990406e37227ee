"""Hashes that identify images, code and settings, so that a stored value is used only for what it was computed from."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

CORE = ("fusekit.data", "fusekit.fusing", "fusekit.interfaces", "fusekit.model", "fusekit.training")
"""Packages of fusekit on which fused images depend."""

SCORING = ("fusekit.evaluation", "fusekit.interfaces")
"""Packages of fusekit on which the values of metrics depend."""


def digest(*parts: Any) -> str:
    """SHA-256 of plain data, in hexadecimal."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def image_digest(images: Iterable[Tensor | None]) -> str:
    """SHA-256 of the shapes, types and values of images."""
    state = hashlib.sha256()
    for image in images:
        state.update(b"none" if image is None else f"{tuple(image.shape)} {image.dtype}".encode())
        if image is not None:
            state.update(image.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return state.hexdigest()


def code_digest(modules: Sequence[str]) -> str:
    """SHA-256 of the Python files of the packages that contain modules: other code may give other values.

    Args:
        modules: Dotted names; of each, the package is hashed that lies directly below ``fusekit``, or the top-level
            package of a plugin.
    """
    return digest([_package_digest(name) for name in sorted({_package(module) for module in modules})])


def _package(module: str) -> str:
    return ".".join(module.split(".")[: 2 if module.startswith("fusekit.") else 1])


@cache
def _package_digest(name: str) -> str:
    spec = importlib.util.find_spec(name)
    if spec is None:
        return name
    if spec.submodule_search_locations:
        files = sorted(path for folder in spec.submodule_search_locations for path in Path(folder).rglob("*.py"))
    else:
        files = [Path(spec.origin)] if spec.origin and Path(spec.origin).is_file() else []
    state = hashlib.sha256(name.encode())
    for path in files:
        state.update(path.name.encode())
        state.update(path.read_bytes())
    return state.hexdigest()
