"""Where a model file is: a path, the folder of a run, the name of shipped weights, or an address. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from fusekit.errors import UsageError
from fusekit.plugin.registry import Registry, registry
from fusekit.plugin.shipped import find_weights, resolve_address, weights_file
from fusekit.recipe.model_card import MODEL_FILE


def locate_model(given: str | Path, components: Registry | None = None) -> Path:
    """The model file that the user means; it may not exist if `given` is a path.

    A text without a path separator that is the name of shipped weights means these weights. A file, or the folder of a
    run, of the same name must be written as a path (``./NAME``). A `Path` is never a name.

    Args:
        given: A model file, the folder of a run, the name of shipped weights, or an address such as ``hf://…``.
        components: Registry in which names and addresses are looked up (default: the registry of the process).

    Raises:
        UsageError: The name is both that of shipped weights and of a model in the working directory, or no plugin
            resolves the address.
        PluginError: The weights of that name cannot be used.
        DataError: The address does not lead to a model file.
    """
    if isinstance(given, str):
        known = components or registry()
        if "://" in given:
            return resolve_address(given, known)
        spec = find_weights(given, known)
        if spec is not None:
            path = Path(given)
            if given != spec.name and (path.is_file() or (path / MODEL_FILE).is_file()):
                raise UsageError(
                    f"{given!r} is the name of shipped weights and of a model in the working directory",
                    hint=f"write ./{given} for the model in the working directory, or {spec.name} for the weights",
                )
            return weights_file(spec, known)
    path = Path(given).expanduser()
    return path / MODEL_FILE if path.is_dir() else path
