"""Makes a benchmark of runs, models and folders of images, on the data of a recipe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fusekit.benchmarking.file import BenchmarkFile, MethodSection
from fusekit.data.image_io import IMAGE_SUFFIXES
from fusekit.errors import UsageError
from fusekit.recipe.model_card import MODEL_FILE
from fusekit.recipe.recipe import Recipe

RESOLVED = "recipe.resolved.yaml"


def comparison(
    given: Sequence[str],
    *,
    data: str | None = None,
    root: str | None = None,
    limit: int | None = None,
    dialects: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> BenchmarkFile:
    """A benchmark of one dataset.

    Args:
        given: Folders of runs, model files, names of weights or rules, or folders of fused images; each may be
            preceded by ``NAME=``.
        data: Recipe, or folder of a run, whose data is used; default: that of the first run.
        root: Folder of the data, if it is not that of the recipe.
        limit: Maximum number of scenes.
        dialects: Dialects of which all metrics are computed.
        metrics: Metrics; only these are computed.

    Raises:
        UsageError: No recipe is known, or a method is neither a folder nor a name.
        RecipeError: The recipe is not valid.
    """
    methods = [_method(word) for word in given]
    _check_names(given, methods)
    if data is None:
        data = next((m["run"] for m in methods if "run" in m), None)
    if data is None:
        raise UsageError(
            "it is not known on which data to compare: none of the methods is a run",
            hint="name a recipe with --data, such as --data refusion_ivif --root DATA",
        )
    resolved = Path(data) / RESOLVED
    source: str | Path = resolved if resolved.is_file() else data
    overrides = [] if root is None else [f"data.root={root}"]
    recipe = Recipe.load(source, overrides, check_data=False)
    section = recipe.plain["data"]
    plain: dict[str, Any] = {
        "schema": 1,
        "name": _name([MethodSection(**method).printed for method in methods]),
        "title": "Comparison",
        "datasets": [
            {
                "use": section["use"],
                "root": section["root"],
                "params": section["params"],
                "seed": recipe.model.seed,
                "split": recipe.model.fuse.split,
                "limit": limit if limit is not None else recipe.model.fuse.limit,
            }
        ],
        "methods": methods,
        "dialects": list(dialects),
        "metrics": list(metrics),
    }
    return BenchmarkFile.from_dict(plain)


def _name(methods: Sequence[str]) -> str:
    """Name of the output folder: the names of the methods, so that another comparison does not replace this one."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-vs-".join(methods)).strip("-._")[:80] or "comparison"


def _check_names(given: Sequence[str], methods: Sequence[dict[str, str]]) -> None:
    named: dict[str, str] = {}
    for word, method in zip(given, methods, strict=True):
        name = MethodSection(**method).printed
        if name in named:
            raise UsageError(f"{named[name]} and {word} have one name, {name}", hint="give one another: NAME=PATH")
        named[name] = word


def _method(word: str) -> dict[str, str]:
    """A method section: the kind follows from what the path is."""
    name, sign, path = word.partition("=")
    if not sign or Path(word).exists():
        name, path = "", word
    if not path:
        raise UsageError(f"{word} is not of the form NAME=PATH")
    named = {"name": name} if name else {}
    folder = Path(path)
    if (folder / RESOLVED).is_file():
        return {**named, "run": path}
    if folder.is_dir() and not (folder / MODEL_FILE).is_file():
        if not any(file.suffix.lower() in IMAGE_SUFFIXES for file in folder.iterdir()):
            raise UsageError(
                f"{path} is neither the folder of a run nor a folder of images",
                hint=f"a run has {RESOLVED}; images end in {', '.join(sorted(IMAGE_SUFFIXES))}",
            )
        return {**named, "images": path}
    return {**named, "model": path}
