"""YAML, JSON and TOML text: what is read, where things stand, what is refused."""

# ruff: noqa: RUF012, a default of a field is no class attribute
from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from nshtrainer.config import Config
from nshtrainer.config.formats.json import read_json
from nshtrainer.config.formats.yaml_reader import plain_scalar, read_yaml
from nshtrainer.config.formats.yaml_writer import same, write_yaml
from nshtrainer.exceptions import ConfigError


class Leaf(Config):
    number: float = 0.0
    text: str = ""
    maybe: str | None = None


class Tree(Config):
    leaf: Leaf = Leaf()
    other: Leaf | None = None
    pair: tuple[int, float] = (0, 0.0)
    leaves: tuple[Leaf, ...] = ()
    texts: list[str] = []
    table: dict[str, float | str | bool] = {}
    flag: bool = False


AWKWARD = st.sampled_from(
    [
        "",
        " ",
        "null",
        "~",
        "true",
        "True",
        "no",
        "on",
        "y",
        "1",
        "1.0",
        "1e3",
        ".5e3",
        "1e-3",
        "012",
        "0x1F",
        "0o7",
        ".inf",
        "-.INF",
        ".nan",
        "1_000",
        "1:30",
        "2024-01-01",
        "a: b",
        "- a",
        "#x",
        "a #b",
        "&a",
        "*a",
        "!!int",
        "<<",
        "=",
        "'",
        '"',
        "\\",
        "%",
        "@",
        "`",
        "{",
        "]",
        ",",
        "|",
        ">",
        "a\nb",
        "\n",
        "a\n ",
        " a",
        "a ",
        "\t",
        "\r",
        "\x85",
        "\u2028",
        "\ufeff",
        "\x7f",
        "\x01",
        "é",
        "😀",
        "---",
        "...",
        "? a",
        "x" * 200,
        "word " * 30,
        "1" * 4400,
        "\ue000",
        "\ufffe",
    ]
)
TEXT = AWKWARD | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FLOAT = st.floats() | st.sampled_from([1e17, 5e-324, -0.0, 1e-3, 1e22, 123456789.0])
LEAVES = st.builds(Leaf, number=FLOAT, text=TEXT, maybe=st.none() | TEXT)
TREES = st.builds(
    Tree,
    leaf=LEAVES,
    other=st.none() | LEAVES,
    pair=st.tuples(st.integers(), FLOAT),
    leaves=st.lists(LEAVES, max_size=3).map(tuple),
    texts=st.lists(TEXT, max_size=10),
    table=st.dictionaries(TEXT, FLOAT | TEXT | st.booleans(), max_size=4),
    flag=st.booleans(),
)


def exactly(config: Config) -> str:
    """A form that tells 0.0 from -0.0, and in which nan is nan."""
    return repr(config)


@settings(max_examples=40, deadline=None)
@given(TREES)
def test_a_config_comes_back_from_yaml(tree: Tree) -> None:
    assert exactly(Tree.from_yaml(tree.to_yaml())) == exactly(tree)


@settings(max_examples=40, deadline=None)
@given(TREES)
def test_a_config_comes_back_from_json(tree: Tree) -> None:
    assert exactly(Tree.from_json(tree.to_json())) == exactly(tree)


@settings(max_examples=40, deadline=None)
@given(TREES)
def test_a_config_comes_back_from_toml(tree: Tree) -> None:
    assert exactly(Tree.from_toml(tree.to_toml())) == exactly(tree)


@settings(max_examples=40, deadline=None)
@given(TREES)
def test_a_config_comes_back_from_plain_data(tree: Tree) -> None:
    assert exactly(Tree.from_mapping(tree.to_dict())) == exactly(tree)
    assert exactly(tree.override()) == exactly(tree)


@settings(max_examples=40, deadline=None)
@given(TREES, TREES)
def test_a_config_comes_back_from_a_yaml_file_that_was_another(old: Tree, new: Tree) -> None:
    from nshtrainer.config.formats.yaml_writer import update_yaml

    text = update_yaml(old.to_yaml(), old.to_dict(), new.to_dict())
    read = Tree.from_yaml(text)
    # The file keeps the order of the keys that it had.
    ordered = {key: read.table[key] for key in new.table}
    assert exactly(read.replace(table=ordered)) == exactly(new)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        (".5", 0.5),
        ("1.", 1.0),
        ("+12", 12),
        ("012", 12),
        ("0o17", 15),
        ("0x1f", 31),
        ("-.Inf", -math.inf),
        ("TRUE", True),
        ("False", False),
        ("Null", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("0b1", "0b1"),
        ("tRue", "tRue"),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = plain_scalar(text)
    assert (found, type(found)) == (value, type(value))


def test_aliases_and_merges_work() -> None:
    text = (
        "base: &base {x: 1, y: 2}\n"
        "other: &other\n  z: 3\n"
        "one: {<<: *base, y: 5}\n"
        "two:\n  <<: [*other, {x: 7, z: 8}]\n"
        "again: [*base, &n 4, *n]\n"
        "'<<': text\n"
    )
    assert read_yaml(text).data == {
        "base": {"x": 1, "y": 2},
        "other": {"z": 3},
        "one": {"x": 1, "y": 5},
        "two": {"z": 3, "x": 7},
        "again": [{"x": 1, "y": 2}, 4, 4],
        "<<": "text",
    }


def test_a_document_marker_a_directive_and_a_comment_are_no_content() -> None:
    assert read_yaml("%YAML 1.2\n---\n# comment\na: 1\n...\n").data == {"a": 1}
    assert read_yaml("# nothing\n").data is None
    assert read_yaml("# nothing\n").place(("a",)) == "<yaml>"
    assert read_yaml("<<").data == "<<"


def test_every_value_of_yaml_has_a_place() -> None:
    document = read_yaml("a:\n  b: [1, {c: 2}]\nd: &x\n  e: 3\nf: *x\n", "run.yaml")
    assert document.place(("a", "b", 1, "c")) == "run.yaml:2:14"
    assert document.place(("a", "b", 1, "c"), of_key=True) == "run.yaml:2:11"
    assert document.place(("f", "e")) == "run.yaml:4:6"
    assert document.place(("f",)) == "run.yaml:5:4"
    assert document.place(("a", "missing")) == "run.yaml:2:3"
    assert document.place(()) == "run.yaml:1:1"


def test_every_value_of_json_has_a_place() -> None:
    text = '{\n "a": {"b": [1, {"c": "x, y: [}\\""}], "é": {}},\n "d": []\n}'
    document = read_json(text, "run.json")
    assert document.place(("a", "b", 1, "c")) == "run.json:2:23"
    assert document.place(("a", "b", 1, "c"), of_key=True) == "run.json:2:18"
    assert document.place(("a", "é")) == "run.json:2:44"
    assert document.place(("d",), of_key=True) == "run.json:3:2"
    assert document.place(("a", "missing")) == "run.json:2:7"
    assert document.place(()) == "run.json:1:1"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(JSON_VALUES, st.sampled_from([None, 0, 2, "\t"]))
def test_the_place_of_a_value_of_json_is_where_it_starts(value: Any, indent: Any) -> None:
    text = json.dumps(value, indent=indent)
    document = read_json(text)
    paths: list[tuple[Any, ...]] = [()]
    for path in paths:
        part = value
        for key in path:
            part = part[key]
        line, column = map(int, document.place(path).split(":")[1:])
        rest = "\n".join(text.split("\n")[line - 1 :])[column - 1 :]
        assert json.JSONDecoder().raw_decode(rest)[0] == part
        if isinstance(part, dict):
            paths += [(*path, key) for key in part]
        elif isinstance(part, list):
            paths += [(*path, at) for at in range(len(part))]


def test_a_yaml_directive_does_not_change_what_words_mean() -> None:
    assert read_yaml("%YAML 1.1\n---\na: no\n").data == {"a": "no"}


@pytest.mark.parametrize("directive", ["%YAML 1.4", "%YAML 2.0", "%TAG ! tag:x,2000:", "%X y"])
def test_another_directive_is_refused(directive: str) -> None:
    with pytest.raises(ConfigError, match=r"^<yaml>:1:1: a directive is not allowed, except"):
        read_yaml(f"{directive}\n---\na: 1\n")


def test_an_alias_of_a_list_is_no_key() -> None:
    with pytest.raises(ConfigError, match="2:1: a key must be text or a number"):
        read_yaml("a: &x [1]\n*x : 2\n")


def test_an_empty_yaml_file_is_a_config_of_defaults() -> None:
    assert Leaf.from_yaml("") == Leaf.from_yaml("# nothing yet\n") == Leaf()


def test_short_lists_stand_on_one_line() -> None:
    assert (
        write_yaml({"a": [1, 2], "b": [[1], [2]], "c": []})
        == "a: [1, 2]\nb:\n- [1]\n- [2]\nc: []\n"
    )


def test_toml_leaves_out_a_none_that_is_the_default() -> None:
    class Sparse(Config):
        empty: int | None = None
        full: int | None = 3
        made: list[int] | None = Field(default_factory=lambda: None)

    assert Sparse().to_toml() == "full = 3\n"
    with pytest.raises(ConfigError, match=r"^full: is None, which TOML cannot say"):
        Sparse(full=None).to_toml()


def test_toml_names_a_none_in_a_list_or_a_table() -> None:
    class Holder(Config):
        values: list[int | None] = []
        table: dict[str, int | None] = {}
        bag: frozenset[int | None] = frozenset()

    with pytest.raises(ConfigError, match=r"^values\.1: is None"):
        Holder(values=[1, None]).to_toml()
    with pytest.raises(ConfigError, match=r"^table\.a: is None"):
        Holder(table={"a": None}).to_toml()
    with pytest.raises(ConfigError, match=r"^bag\.0: is None"):
        Holder(bag=frozenset({None})).to_toml()


def test_toml_does_not_ask_a_default_that_is_made_of_other_fields() -> None:
    class Linked(Config):
        first: int = 1
        second: int | None = Field(default_factory=lambda data: data["first"])

    assert Linked().to_toml() == "first = 1\nsecond = 1\n"


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        (1, 1.0, True),
        (0.0, -0.0, False),
        (True, 1, False),
        (math.nan, math.nan, True),
        ("1", 1, False),
        ([1, {"a": 2}], [1.0, {"a": 2}], True),
        ([1], [1, 2], False),
        ({"a": 1}, {"b": 1}, False),
        (None, None, True),
    ],
)
def test_what_counts_as_unchanged(first: Any, second: Any, equal: bool) -> None:
    assert same(first, second) is equal
