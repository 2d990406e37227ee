"""Reader of YAML 1.2 with positions, limited to what recipes allow. Imports no torch.

ruamel.yaml composes nodes with positions; this module converts them to values by the core schema of YAML 1.2. So
`1e-4` is a number, `no` is text, duplicate keys are an error, and tags cannot construct objects.
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
_IMPLICIT = {_STANDARD + kind for kind in ("null", "bool", "int", "float", "timestamp", "value", "merge")}
_COLLECTIONS = (f"{_STANDARD}map", f"{_STANDARD}seq")


def read_yaml(path: Path) -> tuple[str, Node]:
    """Reads a recipe file.

    Returns:
        Its unchanged text, and its top-level mapping with positions.

    Raises:
        RecipeProblems: The file cannot be read, is too large, not UTF-8, empty, not YAML, or not a mapping.
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
        RecipeProblems: It is empty, not YAML, or not a mapping.
    """
    node = parse_yaml(text, source)
    if node is None or node.value is None:
        raise RecipeProblems([Problem("", "the file is empty; a recipe starts with `schema: 1`", source)])
    if not isinstance(node.value, dict):
        raise RecipeProblems([Problem("", f"a recipe must be a mapping, not {describe(node.value)}", str(node.at))])
    return node


def parse_yaml(text: str, source: str) -> Node | None:
    """Parses one YAML document; None if the text contains none.

    Raises:
        RecipeProblems: The first syntax error, or everything that recipes do not allow.
    """
    reader = _Reader(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML 1.2 allows it: the last anchor counts
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
    """Formats plain data as YAML that `parse_yaml` reads back to equal data."""
    # Collections of scalars are most readable on one line, but the library fails to quote some keys there (`:0`).
    text = _dump(plain, flow=True)
    try:
        parsed = parse_yaml(text, "")
        if parsed is not None and parsed.plain() == plain:
            return text
    except RecipeProblems:
        pass
    return _dump(plain, flow=False)


def _dump(plain: Any, *, flow: bool) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None if flow else False
    yaml.allow_unicode = True
    yaml.width = 1 << 20  # no folding: it leaves trailing spaces
    yaml.representer.sort_base_mapping_type_on_output = False
    yaml.representer.ignore_aliases = lambda _data: True
    stream = io.StringIO()
    yaml.dump(plain, stream)
    return stream.getvalue()


def describe(value: Any) -> str:
    """Description of a value for error messages: ``the text '8'``, ``a list``, ``nothing``."""
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
    reason = getattr(error, "problem", None) or getattr(error, "context", None)
    if reason is None:
        reason = str(error).splitlines()[0]
    context = getattr(error, "context", None)
    message = f"not valid YAML: {reason}" + (f" ({context})" if context and context != reason else "")
    if "another document" in reason:
        message = "a recipe must be one YAML document; remove everything from `---` on"
    elif "cannot start any token" in reason and "\\t" in reason:
        message = "not valid YAML: tabs cannot be used for indentation; use spaces"
    elif reason.startswith("mapping values are not allowed"):
        message = "not valid YAML: a second `:` on this line; put text that contains `: ` in quotes"
    elif mark is not None and "flow" in (context or "") and "${" in _line(text, mark.line):
        message = "not valid YAML: inside `{ }` and `[ ]`, put text that contains `${…}` in quotes"
    return Problem("", message, f"{source}:{mark.line + 1}:{mark.column + 1}" if mark is not None else source)


def _line(text: str, number: int) -> str:
    return "".join(text.split("\n")[number : number + 1])


class _Reader:
    """Converts composed nodes to `Node`, and refuses what recipes do not allow."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.count = 0
        # An alias shares the composed node of its anchor: the converted node, and its number of nodes, by id.
        self.read: dict[int, tuple[Node, int]] = {}
        self.open: set[int] = set()

    def node(self, composed: Any, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self.stop(composed, f"nested deeper than {MAX_DEPTH} levels")
        if id(composed) in self.open:
            raise self.stop(composed, f"*{composed.anchor} is inside the value that it refers to")
        if id(composed) in self.read:
            node, size = self.read[id(composed)]
            self.grow(composed, size)
            return node
        start = self.count
        self.grow(composed, 1)
        self.open.add(id(composed))
        node = Node(self.value(composed, depth), self.mark(composed))
        self.open.discard(id(composed))
        self.read[id(composed)] = node, self.count - start
        return node

    def value(self, composed: Any, depth: int) -> Any:
        if isinstance(composed, ScalarNode):
            return self.scalar(composed)
        if composed.tag not in _COLLECTIONS:
            self.fail_tag(composed)
        if isinstance(composed, SequenceNode):
            return [self.node(item, depth + 1) for item in composed.value]
        return self.mapping(composed, depth)

    def scalar(self, composed: ScalarNode) -> Any:
        if composed.tag == _TEXT:  # quoted, tagged as text, or a plain scalar of no other type
            return composed.value
        if composed.style is not None or composed.tag not in _IMPLICIT:
            self.fail_tag(composed)
        return parse_scalar(composed.value)

    def mapping(self, composed: MappingNode, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key_node, value_node in composed.value:
            key, value = self.node(key_node, depth + 1), self.node(value_node, depth + 1)
            if not isinstance(key.value, str):
                advice = "write it in quotes" if not isinstance(key.value, dict | list) else "keys must be text"
                self.fail(key_node, f"this key is {describe(key.value)}; {advice}")
            elif key.value == "<<" and key_node.style is None:
                self.fail(key_node, "merge keys are not YAML 1.2; use `extends`, or repeat the values")
            elif key.value in entries:
                first = entries[key.value].key_at
                assert first is not None
                self.fail(key_node, f"duplicate key {key.value!r} in one mapping; first in line {first.line}")
            else:
                entries[key.value] = Node(value.value, value.at, self.mark(key_node))
        return entries

    def grow(self, composed: Any, nodes: int) -> None:
        self.count += nodes
        if self.count > MAX_NODES:
            raise self.stop(composed, f"more than {MAX_NODES} values; that is too large for a recipe")

    def mark(self, composed: Any) -> Mark:
        return Mark(self.source, composed.start_mark.line + 1, composed.start_mark.column + 1)

    def fail(self, composed: Any, message: str) -> None:
        self.problems.append(Problem("", message, str(self.mark(composed))))

    def fail_tag(self, composed: Any) -> None:
        shown = str(composed.tag).replace(_STANDARD, "!!")
        self.fail(composed, f"tag {shown!r} is not allowed: recipes contain plain data only")

    def stop(self, composed: Any, message: str) -> RecipeProblems:
        return RecipeProblems([*self.problems, Problem("", message, str(self.mark(composed)))])
