"""YAML 1.2 with positions: what a recipe file may say, and nothing else. Imports no torch.

ruamel.yaml tokenises; values are made here from its events, by the core schema of YAML 1.2. So `1e-4` is a
number, `no` is text, equal keys are an error, and a tag can construct nothing.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

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
_PLAIN_TAGS = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:map": dict,
    "tag:yaml.org,2002:seq": list,
    "!": str,
}


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
        raise RecipeProblems([Problem("", f"larger than {MAX_BYTES >> 20} MiB; that is no recipe", name)])
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
    builder = _Builder(YAML(typ="safe", pure=True).parse(text), source)
    try:
        root = builder.document()
    except YAMLError as error:
        raise RecipeProblems([_syntax_problem(error, source, text)]) from None
    if builder.problems:
        raise RecipeProblems(builder.problems)
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
    if "cannot start any token" in said and "\\t" in said:
        message = "not YAML: a tab cannot indent; use spaces"
    elif said.startswith("mapping values are not allowed"):
        message = "not YAML: a second `:` on this line; put text that contains `: ` in quotes"
    elif mark is not None and "flow" in (context or "") and "${" in _line(text, mark.line):
        message = "not YAML: inside `{ }` and `[ ]`, put text that holds `${…}` in quotes"
    return Problem("", message, f"{source}:{mark.line + 1}:{mark.column + 1}" if mark is not None else source)


def _line(text: str, number: int) -> str:
    return "".join(text.split("\n")[number : number + 1])


class _Builder:
    """Turns parser events into nodes."""

    def __init__(self, events: Iterator[Any], source: str) -> None:
        self.events = events
        self.source = source
        self.problems: list[Problem] = []
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.open_anchors: set[str] = set()
        self.count = 0

    def document(self) -> Node | None:
        root = None
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                if root is not None:
                    self.fail(event, "a recipe is one document; remove what follows `---`")
                    break
                root = self.node(next(self.events), 0)
        return root

    def mark(self, event: Any) -> Mark:
        return Mark(self.source, event.start_mark.line + 1, event.start_mark.column + 1)

    def fail(self, event: Any, message: str) -> None:
        self.problems.append(Problem("", message, str(self.mark(event))))

    def stop(self, event: Any, message: str) -> RecipeProblems:
        return RecipeProblems([*self.problems, Problem("", message, str(self.mark(event)))])

    def node(self, event: Any, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self.stop(event, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, AliasEvent):
            return self.alias(event)
        start = self.count
        self.grow(event, 1)
        anchor = event.anchor
        if anchor is not None:
            self.open_anchors.add(anchor)
        wanted = self.tag(event)
        if isinstance(event, ScalarEvent):
            quoted = event.style is not None or wanted is str
            node = Node(event.value if quoted else parse_scalar(event.value), self.mark(event))
        elif isinstance(event, SequenceStartEvent):
            node = Node(self.sequence(depth), self.mark(event))
        else:
            node = Node(self.mapping(depth), self.mark(event))
        if anchor is not None:
            self.open_anchors.discard(anchor)
            self.anchors[anchor] = (node, self.count - start)
        return node

    def grow(self, event: Any, nodes: int) -> None:
        self.count += nodes
        if self.count > MAX_NODES:
            raise self.stop(event, f"more than {MAX_NODES} values; that is no recipe")

    def tag(self, event: Any) -> type | None:
        if event.tag is None:
            return None
        wanted = _PLAIN_TAGS.get(str(event.tag))
        shape = str if isinstance(event, ScalarEvent) else dict if isinstance(event, MappingStartEvent) else list
        if wanted is not shape:
            shown = str(event.tag).replace("tag:yaml.org,2002:", "!!")
            self.fail(event, f"tag {shown!r} is not allowed: recipes are plain data")
        return wanted

    def alias(self, event: Any) -> Node:
        if event.anchor in self.open_anchors:
            raise self.stop(event, f"*{event.anchor} stands inside what it refers to")
        if event.anchor not in self.anchors:
            raise self.stop(event, f"*{event.anchor} refers to nothing above it")
        node, nodes = self.anchors[event.anchor]
        self.grow(event, nodes)
        return node

    def sequence(self, depth: int) -> list[Node]:
        items = []
        while not isinstance(event := next(self.events), SequenceEndEvent):
            items.append(self.node(event, depth + 1))
        return items

    def mapping(self, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        while not isinstance(event := next(self.events), MappingEndEvent):
            key = self.node(event, depth + 1)
            value = self.node(next(self.events), depth + 1)
            if not isinstance(key.value, str):
                is_what = describe(key.value)
                advice = "write it in quotes" if not isinstance(key.value, dict | list) else "keys are text"
                self.fail(event, f"this key is {is_what}; {advice}")
            elif key.value == "<<" and event.style is None:
                self.fail(event, "merge keys are not YAML 1.2; use `extends`, or repeat the values")
            elif key.value in entries:
                first = entries[key.value].key_at
                assert first is not None
                self.fail(event, f"key {key.value!r} stands twice in one mapping; first in line {first.line}")
            else:
                entries[key.value] = Node(value.value, value.at, self.mark(event))
        return entries
