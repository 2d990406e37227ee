"""YAML 1.2 with positions: what is read, what is refused, and where the error points."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusekit.errors import RecipeError
from fusekit.recipe.tree import node_from_plain
from fusekit.recipe.yaml_reader import MAX_BYTES, dump_yaml, parse_recipe, parse_scalar, parse_yaml, read_yaml


def test_positions_of_keys_and_values() -> None:
    root = parse_recipe("a: 1\nb:\n  c: [x, {d: 2}]\n", "r.yaml")
    assert root.plain() == {"a": 1, "b": {"c": ["x", {"d": 2}]}}
    assert str(root.where(("b", "c", 0))) == "r.yaml:3:7"
    assert str(root.where(("b", "c", 1, "d"))) == "r.yaml:3:14"
    assert str(root.where(("b", "c", 1, "d"), key=True)) == "r.yaml:3:11"
    assert str(root.where(("b", "absent", "below"))) == "r.yaml:2:1"
    assert str(root.where(("absent",))) == "r.yaml:1:1"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("2E3", 2000.0),
        ("-12", -12),
        ("0o17", 15),
        ("0x1f", 31),
        ("017", 17),
        (".5", 0.5),
        ("5.", 5.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("no", "no"),
        ("off", "off"),
        ("True", True),
        ("~", None),
        ("", None),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("12:30", "12:30"),
        ("1e", "1e"),
        ("=", "="),
    ],
)
def test_core_schema(text: str, value: object) -> None:
    found = parse_scalar(text)
    assert found == value
    assert type(found) is type(value)
    node = parse_yaml(f"k: {text}", "r")
    assert node is not None
    assert node.plain() == {"k": value}


def test_quoted_and_tagged_scalars_stay_text() -> None:
    assert parse_recipe("a: '1'\nb: !!str 2\nc: \"no\"\nd: |\n  3\n", "r").plain() == {
        "a": "1",
        "b": "2",
        "c": "no",
        "d": "3\n",
    }


def test_aliases_repeat_values() -> None:
    assert parse_recipe("a: &x {k: 1}\nb: *x\n", "r").plain() == {"a": {"k": 1}, "b": {"k": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "r.yaml:3:1: duplicate key 'a' in one mapping; first in line 1"),
        ("a: {b: 1, b: 2}\n", "r.yaml:1:11: duplicate key 'b' in one mapping; first in line 1"),
        ("a: [1\n", "r.yaml:2:1: not valid YAML: expected ',' or ']'"),
        ("a: b: c\n", "r.yaml:1:5: not valid YAML: a second `:` on this line"),
        ("\ta: 1\n", "r.yaml:1:1: not valid YAML: tabs cannot be used for indentation"),
        ("a: 'x\n", "r.yaml:2:1: not valid YAML: found unexpected end of stream"),
        ("a: \x00\n", "r.yaml: not valid YAML: unacceptable character"),
        ("a: {b: ${HOME}}\n", "put text that contains `${…}` in quotes"),
        ("", "r.yaml: the file is empty"),
        ("# only a comment\n", "r.yaml: the file is empty"),
        ("- a\n", "r.yaml:1:1: a recipe must be a mapping, not a list"),
        ("words\n", "r.yaml:1:1: a recipe must be a mapping, not the text 'words'"),
        ("a: 1\n---\nb: 2\n", "one YAML document"),
        ("1: a\n", "r.yaml:1:1: this key is the number 1; write it in quotes"),
        ("? [a]\n: b\n", "this key is a list"),
        ("<<: {a: 1}\n", "merge keys are not YAML 1.2"),
        ("a: !!python/object:os.system x\n", "r.yaml:1:4: tag '!!python/object:os.system' is not allowed"),
        ("a: !mine {b: 1}\n", "tag '!mine' is not allowed"),
        ("a: !!int '1'\n", "tag '!!int' is not allowed"),
        ("a: *b\n", "r.yaml:1:4: not valid YAML: found undefined alias 'b'"),
        ("a: &a [*a]\n", "*a is inside the value that it refers to"),
        ("a: " + "[" * 60 + "]" * 60, "nested deeper than"),
        ("[" * 100_000, "nested deeper than"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, "r.yaml")
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_every_duplicate_is_told() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe("a: 1\na: 2\nb: 1\nb: 2\n", "r")
    assert len(caught.value.message.splitlines()) == 2


def test_aliases_cannot_explode() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(RecipeError, match="more than 50000 values"):
        parse_recipe("\n".join(lines), "r")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        read_yaml(tmp_path / "absent.yaml")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(RecipeError, match=r"latin.yaml:2:7: not UTF-8"):
        read_yaml(tmp_path / "latin.yaml")
    (tmp_path / "big.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(RecipeError, match="larger than 1 MiB"):
        read_yaml(tmp_path / "big.yaml")


def test_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(tmp_path / "r.yaml")[1].plain() == {"a": 1}


def test_only_plain_data_becomes_a_tree() -> None:
    assert node_from_plain({"a": (1, 2)}).plain() == {"a": [1, 2]}
    with pytest.raises(RecipeError, match=r"a: a (Posix|Windows)Path is not plain data"):
        node_from_plain({"a": Path("x")})
    with pytest.raises(RecipeError, match="key 1 is not text"):
        node_from_plain({"a": {1: 2}})


_text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12) | st.sampled_from(
    [
        "1e-4",
        "no",
        "null",
        "~",
        "0o7",
        "1_0",
        "2024-01-01",
        " x ",
        "a: b",
        "- a",
        "#",
        "*a",
        "<<",
        "line\nline",
    ]
)
_scalar = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _text
_plain = st.recursive(
    _scalar,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text.filter(lambda k: k != "<<"), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(_plain)
def test_what_is_written_reads_back_equal(plain: Any) -> None:
    node = parse_yaml(dump_yaml({"k": plain}), "r")
    assert node is not None
    assert node.plain() == {"k": plain}
