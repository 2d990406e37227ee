"""Imports of plugin code: the targets of component specs, and local files."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

from fusekit.errors import UsageError


def one_line(error: BaseException) -> str:
    """An exception as ``Type: message`` on one line of bounded length; never raises itself."""
    try:
        text = textwrap.shorten(str(error), 300, placeholder=" …")
    except Exception:  # a plugin's own exception class may fail in __str__
        text = "(its message cannot be shown)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


_FORMER = {
    "fusekit.guidance": "the plugin was written for an earlier contract: a guidance is a component now, a subclass of "
    "fusekit.interfaces.GuidanceMaker that a recipe names in model.guidance; `undisturbed` is in fusekit.interfaces",
    "'Path' from 'fusekit.interfaces'": "the plugin was written for an earlier contract: "
    "Path is called AttributionPath",
}
"""Part of the message of a failed import of a former name → what to use instead."""


def former_name(error: BaseException) -> str | None:
    """What a plugin must use instead of the former name that it could not import; None for any other error."""
    message = str(error) if isinstance(error, ImportError) else ""
    return next((advice for former, advice in _FORMER.items() if former in message), None)


def missing_package(error: BaseException) -> str | None:
    """What to do about a module of another package that a plugin could not import; None for any other error."""
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    if name is None or name.startswith(("fusekit.", "fusekit_")):
        return None
    return f"install the package that provides the module {name!r}, which the plugin imports"


def load_target(target: str) -> Any:
    """Imports ``package.module:Name`` and returns the object.

    Components may use timm or segmentation-models-pytorch, which import torchvision. If that fails with a CPU build
    of torch, the workaround in `fusekit.compat.torchvision_ops` is applied and the import repeated.

    Raises:
        Exception: Any exception of the module; the registry turns it into a PluginError.
    """
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        from fusekit.compat.torchvision_ops import import_torchvision

        import_torchvision()
        module = importlib.import_module(module_name)
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise ImportError(f"module {module_name} does not define {attribute}") from None


def local_file(path: Path) -> Path:
    """The absolute path of a ``--with`` file.

    Raises:
        UsageError: The file does not exist, or its name does not end in .py.
    """
    if path.suffix != ".py":
        raise UsageError(f"--with {path}: not a Python file", hint="its name must end in .py")
    if not path.is_file():
        raise UsageError(f"--with {path}: no such file")
    return path.resolve()


def local_module(path: Path) -> str:
    """Name of the module as which a ``--with`` file is loaded."""
    return "fusekit_local_" + re.sub(r"\W", "_", path.stem)


def load_file(path: Path) -> ModuleType:
    """Executes a local Python file as a module, so that its classes can be targets.

    Raises:
        Exception: Any exception of the file.
    """
    name = local_module(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it is executed: dataclasses and pickle look their module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
