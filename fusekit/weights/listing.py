"""The shipped weights in a list. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from fusekit.errors import FusekitError, PluginError
from fusekit.plugin.registry import Registry
from fusekit.plugin.shipped import shipped_weights, weights_file

_STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class Row:
    """One entry of the list.

    Attributes:
        name: Name by which users call the weights.
        full_name: The name with the plugin's namespace.
        task: The task.
        default: Whether they are the default of the task.
        summary: One sentence.
        bytes: Size of the file; None if it cannot be used.
        parameters: Number of parameters; None if the file cannot be used.
        problem: Why the file cannot be used; empty if it can.
    """

    name: str
    full_name: str
    task: str
    default: bool
    summary: str
    bytes: int | None = None
    parameters: int | None = None
    problem: str = ""


def list_weights(registry: Registry) -> tuple[list[Row], list[PluginError]]:
    """All shipped weights, and the errors of those that cannot be used."""
    rows, errors = [], []
    for spec in shipped_weights(registry):
        facts = (spec.short, spec.name, spec.task, spec.default, spec.summary)
        try:
            path = weights_file(spec, registry)
            rows.append(Row(*facts, path.stat().st_size, count_parameters(path)))
        except FusekitError as error:
            made = error if isinstance(error, PluginError) else PluginError(error.message, hint=error.hint)
            rows.append(Row(*facts, problem=made.message))
            errors.append(made)
    return rows, errors


def count_parameters(path: Path) -> int:
    """Number of parameters of a model file, from its header; buffers with running statistics are not counted.

    Raises:
        PluginError: The file is not a safetensors file.
    """
    try:
        with safe_open(path, framework="np") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return sum(
                math.prod(part.get_shape())
                for name, part in parts.items()
                if part.get_dtype() in ("F64", "F32", "F16", "BF16") and not name.endswith(_STATISTICS)
            )
    except Exception as error:  # safetensors raises several types
        raise PluginError(f"{path} is not a readable safetensors file: {error}") from error
