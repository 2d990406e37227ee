"""The recipes that fusekit ships. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fusekit.recipe.problems import Problem, RecipeProblems
from fusekit.words import nearest

_PACKAGE = Path(__file__).resolve().parents[1]
_SUFFIXES = (".yaml", ".yml")

SCHEMA_FILE = "recipe.schema.json"
"""File name of the JSON Schema of the built-in components, next to the shipped recipes."""


@dataclass(frozen=True)
class ShippedRecipe:
    """A recipe that is part of the installed version.

    Attributes:
        name: Name for `fusekit run NAME`: the file name without its suffix.
        path: The file.
        header: Its first comment: how to run it and what it needs.
    """

    name: str
    path: Path
    header: str

    @property
    def summary(self) -> str:
        """The first line of the header."""
        return self.header.partition("\n")[0]


def recipes_folder() -> Path:
    """Folder of the shipped recipes: inside an installed package, or ``recipes/`` of a source checkout."""
    packaged = _PACKAGE / "recipes_shipped"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "recipes"


def list_recipes(folder: Path | None = None) -> list[ShippedRecipe]:
    """The shipped recipes by name; subfolders contain parts that recipes extend, and are not listed.

    Args:
        folder: Folder to search instead of `recipes_folder`.
    """
    folder = recipes_folder() if folder is None else folder
    if not folder.is_dir():
        return []
    files = sorted(p for p in folder.iterdir() if p.suffix in _SUFFIXES and p.is_file())
    return [ShippedRecipe(p.stem, p, header_comment(p.read_text("utf-8", "replace"))) for p in files]


def find_recipe(name_or_path: str | Path) -> Path:
    """The file of a recipe, given by its path or by the name of a shipped recipe.

    Raises:
        RecipeProblems: Neither a file nor a shipped recipe has that name.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = {recipe.name: recipe.path for recipe in list_recipes()}
    requested = path.stem if path.suffix in _SUFFIXES else str(name_or_path)
    if requested in shipped and path.parent == Path("."):
        return shipped[requested]
    message = "is a folder, not a recipe" if path.is_dir() else "no such file, and no shipped recipe of that name"
    raise RecipeProblems(
        [Problem("", message, str(name_or_path), nearest(requested, shipped))],
        hint="fusekit recipes list shows the shipped recipes",
    )


def find_parent(name: str, child: Path | None) -> tuple[Path | None, str | None]:
    """The file that ``extends`` names.

    Searched first in the folder of the child, then in the folder of shipped recipes, so that a copied recipe still
    finds its parents.

    Args:
        name: Relative path, or the name of a shipped recipe.
        child: The file with the ``extends``; None for plain data, whose parents are searched in the working
            directory.

    Returns:
        The file and None, or None and the nearest name.
    """
    beside = child.parent if child is not None else Path()
    folder = recipes_folder()
    for candidate in (beside / name, folder / name, *(folder / f"{name}{suffix}" for suffix in _SUFFIXES)):
        if candidate.is_file():
            return candidate, None
    near_files = [p.relative_to(beside).as_posix() for p in (beside / name).parent.glob("*.y*ml")]
    return None, nearest(name, [*near_files, *(recipe.name for recipe in list_recipes())])


def header_comment(text: str) -> str:
    """The first block of comment lines of a file, without the ``#`` and without editor mode lines."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            if lines:
                break
            if line.strip():
                return ""
            continue
        content = line.lstrip("#").strip()
        if not content.startswith("yaml-language-server:"):
            lines.append(content)
    return "\n".join(lines).strip()
