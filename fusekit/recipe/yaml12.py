"""YAML 1.2 with positions: what a recipe file may say, and nothing else. Imports no torch.

ruamel.yaml composes nodes with positions; values are made of them here, by the core schema of YAML 1.2. So `1e-4` is
a number, `no` is text, equal keys are an error, and a tag can construct nothing.
"""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from fusekit.recipe.problems import Problem, RecipeProblems
from fusekit.recipe.tree import Mark, Node

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_NODES = 50_000  # aliases to aliases grow exponentially; a recipe has a few hundred values

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,400}")
_BASED = re.compile(r"0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_STANDARD = "tag:yaml.org,2002:"
_TEXT = f"{_STANDARD}str"
_GUESSED = {_STANDARD + kind for kind in ("null", "bool", "int", "float", "timestamp", "value", "merge")}
_COLLECTIONS = (f"{_STANDARD}map", f"{_STANDARD}seq")


def read_yaml(path: Path) -> tuple[str, Node]:
    """Reads a recipe file.

    Returns:
        Its text as it stands, and its top-level mapping with positions.

    Raises:
        RecipeProblems: The file cannot be read, is too big, not UTF-8, empty, not YAML, or no mapping.
    """
    name = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else (error.strerror or str(error))
        raise RecipeProblems([Problem("", f"cannot be read: {reason}", name)]) from None
    if len(raw) > MAX_BYTES:
        raise RecipeProblems([Problem("", f"larger than {MAX_BYTES >> 20} MiB; that is too large for a recipe", name)])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise RecipeProblems([Problem("", "not UTF-8 text", f"{name}:{line}:{column}")]) from None
    return text, parse_recipe(text, name)


def parse_recipe(text: str, source: str) -> Node:
    """Parses the text of a recipe, which must be one mapping.

    Args:
        text: The YAML.
        source: Name of the file for positions.

    Raises:
        RecipeProblems: It is empty, not YAML, or no mapping.
    """
    node = parse_yaml(text, source)
    if node is None or node.value is None:
        raise RecipeProblems([Problem("", "the file is empty; a recipe starts with `schema: 1`", source)])
    if not isinstance(node.value, dict):
        raise RecipeProblems([Problem("", f"a recipe is a mapping, this is {describe(node.value)}", str(node.at))])
    return node


def parse_yaml(text: str, source: str) -> Node | None:
    """Parses one YAML document; None where the text holds none.

    Raises:
        RecipeProblems: Syntax errors (the first), or everything that recipes do not allow.
    """
    reader = _Reader(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML 1.2 allows it: the nearest above counts
            composed = YAML(typ="safe", pure=True).compose(text)
    except YAMLError as error:
        raise RecipeProblems([_syntax_problem(error, source, text)]) from None
    except RecursionError:
        raise RecipeProblems([Problem("", f"nested deeper than {MAX_DEPTH} levels", source)]) from None
    root = reader.node(composed, 0) if composed is not None else None
    if reader.problems:
        raise RecipeProblems(reader.problems)
    return root


def parse_scalar(text: str) -> Any:
    """The value of an unquoted scalar by the core schema of YAML 1.2: `1e-4` is a number, `no` is text."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _SPECIAL.fullmatch(text)
    if special:
        return float("nan") if special[3] else float(f"{special[1]}inf")
    return text


def dump_yaml(plain: Any) -> str:
    """Writes plain data as YAML that `parse_yaml` reads back to equal data."""
    # Collections of scalars on one line read best, but the library fails to quote some keys there (`:0`).
    text = _dump(plain, flow=True)
    try:
        read = parse_yaml(text, "")
        if read is not None and read.plain() == plain:
            return text
    except RecipeProblems:
        pass
    return _dump(plain, flow=False)


def _dump(plain: Any, *, flow: bool) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None if flow else False
    yaml.allow_unicode = True
    yaml.width = 1 << 20  # no folding: it leaves blanks at the ends of lines
    yaml.representer.sort_base_mapping_type_on_output = False
    yaml.representer.ignore_aliases = lambda _data: True
    stream = io.StringIO()
    yaml.dump(plain, stream)
    return stream.getvalue()


def describe(value: Any) -> str:
    """A value in the words of an error: ``text '8'``, ``a list``, ``nothing``."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {_shortened(value)!r}"
    return "a mapping" if isinstance(value, dict) else "a list"


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _syntax_problem(error: YAMLError, source: str, text: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = getattr(error, "problem", None) or getattr(error, "context", None)
    if said is None:
        said = str(error).splitlines()[0]
    context = getattr(error, "context", None)
    message = f"not YAML: {said}" + (f" ({context})" if context and context != said else "")
    if "another document" in said:
        message = "a recipe is one document; remove what follows `---`"
    elif "cannot start any token" in said and "\\t" in said:
        message = "not YAML: a tab cannot indent; use spaces"
    elif said.startswith("mapping values are not allowed"):
        message = "not YAML: a second `:` on this line; put text that contains `: ` in quotes"
    elif mark is not None and "flow" in (context or "") and "${" in _line(text, mark.line):
        message = "not YAML: inside `{ }` and `[ ]`, put text that holds `${…}` in quotes"
    return Problem("", message, f"{source}:{mark.line + 1}:{mark.column + 1}" if mark is not None else source)


def _line(text: str, number: int) -> str:
    return "".join(text.split("\n")[number : number + 1])


class _Reader:
    """Turns composed nodes into ours, and refuses what recipes do not allow."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.count = 0
        self.read: dict[int, tuple[Node, int]] = {}  # what an alias refers to is composed once: its node, and how many
        self.open: set[int] = set()

    def node(self, found: Any, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self.stop(found, f"nested deeper than {MAX_DEPTH} levels")
        if id(found) in self.open:
            raise self.stop(found, f"*{found.anchor} stands inside what it refers to")
        if id(found) in self.read:
            node, size = self.read[id(found)]
            self.grow(found, size)
            return node
        start = self.count
        self.grow(found, 1)
        self.open.add(id(found))
        node = Node(self.value(found, depth), self.mark(found))
        self.open.discard(id(found))
        self.read[id(found)] = node, self.count - start
        return node

    def value(self, found: Any, depth: int) -> Any:
        if isinstance(found, ScalarNode):
            return self.scalar(found)
        if found.tag not in _COLLECTIONS:
            self.fail_tag(found)
        if isinstance(found, SequenceNode):
            return [self.node(item, depth + 1) for item in found.value]
        return self.mapping(found, depth)

    def scalar(self, found: ScalarNode) -> Any:
        if found.tag == _TEXT:  # quoted, tagged, or like nothing else
            return found.value
        if found.style is not None or found.tag not in _GUESSED:
            self.fail_tag(found)
        return parse_scalar(found.value)

    def mapping(self, found: MappingNode, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for of_key, of_value in found.value:
            key, value = self.node(of_key, depth + 1), self.node(of_value, depth + 1)
            if not isinstance(key.value, str):
                is_what = describe(key.value)
                advice = "write it in quotes" if not isinstance(key.value, dict | list) else "keys are text"
                self.fail(of_key, f"this key is {is_what}; {advice}")
            elif key.value == "<<" and of_key.style is None:
                self.fail(of_key, "merge keys are not YAML 1.2; use `extends`, or repeat the values")
            elif key.value in entries:
                first = entries[key.value].key_at
                assert first is not None
                self.fail(of_key, f"key {key.value!r} stands twice in one mapping; first in line {first.line}")
            else:
                entries[key.value] = Node(value.value, value.at, self.mark(of_key))
        return entries

    def grow(self, found: Any, nodes: int) -> None:
        self.count += nodes
        if self.count > MAX_NODES:
            raise self.stop(found, f"more than {MAX_NODES} values; that is too large for a recipe")

    def mark(self, found: Any) -> Mark:
        return Mark(self.source, found.start_mark.line + 1, found.start_mark.column + 1)

    def fail(self, found: Any, message: str) -> None:
        self.problems.append(Problem("", message, str(self.mark(found))))

    def fail_tag(self, found: Any) -> None:
        shown = str(found.tag).replace(_STANDARD, "!!")
        self.fail(found, f"tag {shown!r} is not allowed: recipes are plain data")

    def stop(self, found: Any, message: str) -> RecipeProblems:
        return RecipeProblems([*self.problems, Problem("", message, str(self.mark(found)))])
