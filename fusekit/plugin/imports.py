"""Imports what a component spec names."""

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
    """An exception as ``Type: message`` on one line of bounded length, whatever the exception does."""
    try:
        text = textwrap.shorten(str(error), 300, placeholder=" …")
    except Exception:  # a plugin's own exception may fail even at this
        text = "(its message cannot be shown)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def load_target(target: str) -> Any:
    """Imports ``package.module:Name`` and returns the object.

    Components may sit on timm or segmentation-models-pytorch, which import torchvision; where that fails
    beside a CPU torch, the compat step of `fusekit.compat.torchvision_ops` is taken and the import repeated.

    Raises:
        Exception: Whatever the module raises; the registry turns it into a PluginError.
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
        raise ImportError(f"module {module_name} has no {attribute}") from None


def local_file(path: Path) -> Path:
    """The absolute path of a ``--with`` file.

    Raises:
        UsageError: There is no such file, or it is not Python by name.
    """
    if path.suffix != ".py":
        raise UsageError(f"--with {path}: not a Python file", hint="its name must end in .py")
    if not path.is_file():
        raise UsageError(f"--with {path}: no such file")
    return path.resolve()


def local_module(path: Path) -> str:
    """Name of the module that a ``--with`` file becomes."""
    return "fusekit_local_" + re.sub(r"\W", "_", path.stem)


def load_file(path: Path) -> ModuleType:
    """Executes a local Python file as a module, so that its classes can be targets.

    Raises:
        Exception: Whatever the file raises.
    """
    name = local_module(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses and pickling look their module up by name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
