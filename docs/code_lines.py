"""How many lines of code each package has: ``python docs/code_lines.py``.

A line counts if a token of the program stands on it that is neither a comment nor part of a docstring; templates and
pages that are written for others do not. The architecture page quotes it.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORE = (
    "interfaces",
    "plugin",
    "recipe",
    "model",
    "data",
    "training",
    "fusing",
    "compat",
    ".",
)
"""Packages of the core; ``.`` are the small modules beside them."""

_SILENT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> int:
    """Lines of a Python file that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - set(_docstring_lines(ast.parse(source))))


def _docstring_lines(tree: ast.Module) -> Iterator[int]:
    """Lines of docstrings, and of the texts below attributes."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else []:
            match statement:
                case ast.Expr(value=ast.Constant(value=str())):
                    yield from range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)


def of_package(folder: Path) -> int:
    """Lines of code of all files of a folder."""
    return sum(code_lines(path.read_text("utf-8")) for path in sorted(folder.rglob("*.py")))


def packages(folder: Path = ROOT / "fusekit") -> dict[str, int]:
    """Lines of each package of fusekit; those of the modules beside them under ``.``."""
    found = {
        path.name: of_package(path) for path in sorted(folder.iterdir()) if path.is_dir() and path.name[0] not in "._"
    }
    found["."] = sum(code_lines(path.read_text("utf-8")) for path in folder.glob("*.py"))
    return found


if __name__ == "__main__":
    counted = packages()
    for name, count in sorted(counted.items(), key=lambda item: -item[1]):
        print(f"{count:6} fusekit/{name}")
    print(f"{sum(counted[name] for name in CORE):6} in the core: {', '.join(CORE)}")
    print(f"{sum(counted.values()):6} in all")
    for plugin in sorted((ROOT / "plugins").glob("fusekit_*")):
        print(f"{of_package(plugin):6} plugins/{plugin.name}")
