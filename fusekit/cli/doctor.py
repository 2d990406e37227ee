"""``fusekit doctor``."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from fusekit._version import API_VERSION, __version__
from fusekit.errors import FusekitError
from fusekit.pipeline.memory import described
from fusekit.plugin.imports import one_line
from fusekit.plugin.registry import registry

_PACKAGES = ("torch", "torchvision", "timm", "segmentation-models-pytorch", "numpy", "Pillow", "imagecodecs")

_Line = Callable[[str, str, str], None]


def doctor(
    root: Annotated[Path | None, typer.Option("--root", help="Also look for data in this folder.")] = None,
) -> None:
    """Show versions, the device, plugins, and whether the data of the shipped recipes is found.

    Example: fusekit doctor --root MSRS
    """
    console = Console()

    def line(name: str, text: str, style: str = "") -> None:
        shown = f"[{style}]{escape(text)}[/]" if style else escape(text)
        console.print(f"{escape(name):<28} {shown}", highlight=False, soft_wrap=True)

    line("fusekit", f"{__version__} (plugin API {API_VERSION})")
    line("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in _PACKAGES:
        try:
            line(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            line(package, "not installed", "yellow")
    _devices(line)
    line("memory", described())
    for report in registry().reports:
        style = "green" if report.state == "loaded" else "yellow"
        line(f"plugin {report.namespace}", ", ".join(filter(None, (report.state, report.reason))), style)
    for text in _data(line, root):
        console.print(f"\n{escape(text)}", style="yellow", highlight=False, soft_wrap=True)


def _devices(line: _Line) -> None:
    try:
        import torch

        from fusekit.compat.torchvision_ops import import_torchvision
        from fusekit.devices import choose_device

        line("device", f"{choose_device('auto')}, {torch.get_num_threads()} threads", "")
        import_torchvision()
        line("torchvision imports", "yes", "green")
    except Exception as error:
        line("torch", one_line(error), "red")


def _data(line: _Line, root: Path | None) -> list[str]:
    """Print a line for each shipped recipe; return the messages about missing data, without duplicates."""
    from fusekit.recipe.library import list_recipes
    from fusekit.recipe.recipe import Recipe

    absent: dict[str, None] = {}
    overrides = [f"data.root={root}"] if root is not None else []
    for shipped in list_recipes():
        name = f"recipe {shipped.name}"
        try:
            recipe = Recipe.load(shipped.path, overrides, check_data=False)
        except FusekitError as error:
            line(name, error.message.splitlines()[0], "red")
            continue
        missing = recipe.synthetic_fallback or recipe.missing
        if missing is None:
            line(name, "data found", "green")
            continue
        absent[missing] = None
        line(
            name,
            "no data; " + ("when_missing applies" if recipe.synthetic_fallback else "see below"),
            "yellow",
        )
    return list(absent)
