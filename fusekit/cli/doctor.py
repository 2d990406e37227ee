"""``fusekit doctor``."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from fusekit._version import API_VERSION, __version__
from fusekit.errors import FusekitError
from fusekit.plugin.registry import registry

_PACKAGES = ("torch", "torchvision", "timm", "segmentation-models-pytorch", "numpy", "Pillow", "imagecodecs")


def doctor(
    root: Annotated[Path | None, typer.Option("--root", help="Look for data in this folder too.")] = None,
) -> None:
    """Versions, device, plugins, and the data that the shipped recipes would find."""
    console = Console()

    def line(name: str, text: str, style: str = "") -> None:
        console.print(f"{name:<28} [{style or 'default'}]{escape(text)}[/]", highlight=False, soft_wrap=True)

    line("fusekit", f"{__version__} (plugin API {API_VERSION})")
    line("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in _PACKAGES:
        try:
            line(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            line(package, "not installed", "yellow")
    _devices(line)
    for report in registry().reports:
        style = "green" if report.state == "loaded" else "yellow"
        line(f"plugin {report.namespace}", f"{report.state} {report.reason}".strip(), style)
    _data(line, root)


def _devices(line: object) -> None:
    assert callable(line)
    try:
        import torch

        from fusekit.compat.torchvision_ops import import_torchvision
        from fusekit.devices import choose_device

        line("device", f"{choose_device('auto')}, {torch.get_num_threads()} threads")
        import_torchvision()
        line("torchvision imports", "yes", "green")
    except Exception as error:
        line("torch", f"{type(error).__name__}: {error}", "red")


def _data(line: object, root: Path | None) -> None:
    assert callable(line)
    from fusekit.recipe.library import list_recipes
    from fusekit.recipe.recipe import Recipe

    overrides = [f"data.root={root}"] if root is not None else []
    for shipped in list_recipes():
        try:
            recipe = Recipe.load(shipped.path, overrides, check_data=False)
        except FusekitError as error:
            line(f"recipe {shipped.name}", error.message.splitlines()[0], "red")
            continue
        missing = recipe.synthetic_fallback or recipe.missing
        text = "data found" if missing is None else f"no data: {missing.splitlines()[0]}"
        line(f"recipe {shipped.name}", text, "green" if missing is None else "yellow")
