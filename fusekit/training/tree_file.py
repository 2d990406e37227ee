"""Nested state (tensors, numbers, text) in a safetensors file, without pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

_TENSOR = "__tensor__"
_MAP = "__map__"


def save_tree(path: Path, tree: Any) -> None:
    """Writes nested dicts and lists of tensors and plain values.

    Raises:
        TypeError: A value is neither a tensor nor plain data.
    """
    tensors: dict[str, Tensor] = {}
    plain = _strip(tree, tensors, "state")
    save_file(tensors, path, {"tree": json.dumps(plain)})


def load_tree(path: Path) -> Any:
    """Inverse of `save_tree`; tuples are loaded as lists."""
    with safe_open(path, framework="pt") as file:
        plain = json.loads((file.metadata() or {})["tree"])
        return _restore(plain, file.get_tensor)


def _strip(value: Any, tensors: dict[str, Tensor], name: str) -> Any:
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: name}
    if isinstance(value, dict):
        # As pairs, because optimisers use integers as keys and JSON supports only text keys.
        return {_MAP: [[key, _strip(item, tensors, f"{name}.{key}")] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_strip(item, tensors, f"{name}.{index}") for index, item in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"state {name} is a {type(value).__name__}; only tensors and plain data can be saved")


def _restore(value: Any, get: Any) -> Any:
    if isinstance(value, dict):
        if _TENSOR in value:
            return get(value[_TENSOR])
        return {key: _restore(item, get) for key, item in value[_MAP]}
    if isinstance(value, list):
        return [_restore(item, get) for item in value]
    return value
