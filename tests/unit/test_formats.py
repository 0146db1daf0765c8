"""YAML, JSON and TOML: what is read, where things stand, what is written back, what is refused."""

# ruff: noqa: RUF012, a default of a field is no class attribute
from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

import nshtrainer
from nshtrainer.config import Config
from nshtrainer.config.document import limits
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


def test_a_hundred_levels_are_read() -> None:
    assert read_yaml("[" * 100 + "]" * 100).data is not None
    assert read_json("[" * 100 + "]" * 100).data is not None


@pytest.mark.parametrize(
    ("text_format", "text", "said"),
    [
        ("yaml", "#\n" * 10_001, "more than 10,000 lines"),
        ("yaml", "a: \0", "is a binary file"),
        ("yaml", "[" * 101, "nested deeper than 100 levels"),
        ("yaml", "- " * 101 + "a", "nested deeper than 100 levels"),
        ("yaml", f"a: [{'1, ' * 5000}]", "more than 5,000 keys and values"),
        ("yaml", f"a: &a {'x' * 90_000}\nb: [*a, *a, *a]", "longer than 200 kB, aliases expanded"),
        ("yaml", f"a: {'1' * 5000}", "more than 4300 digits"),
        ("json", "[" * 102 + "]" * 102, "nested deeper than 100 levels"),
        ("json", "[" * 100_000, "nested deeper than 100 levels"),
        ("json", f'{{"a": {"1" * 5000}}}', "more than 4300 digits"),
        ("toml", "a." * 101 + "a = 1", "nested deeper than 100 levels"),
        ("toml", f"a = {'[' * 100_000}", "nested deeper than 100 levels"),
        ("toml", "\n".join(f"{'a.' * 98}b{at} = 1" for at in range(60)), "more than 5,000 keys"),
        ("toml", f"a = {'1' * 5000}", "more than 4300 digits"),
        ("toml", f"a = 0x{'f' * 5000}", "more than 4300 digits"),
    ],
)
def test_what_is_too_much_of_something_is_refused(text_format: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        getattr(Tree, f"from_{text_format}")(text)


def test_too_many_values_are_refused_in_json() -> None:
    text = "[" + "1," * limits().nodes + "1]"
    with pytest.raises(ConfigError, match="more than 5,000 keys and values"):
        read_json(text)


@pytest.mark.parametrize("text_format", ["yaml", "json", "toml"])
def test_a_large_file_is_read_where_that_is_asked_for(text_format: str, tmp_path: Path) -> None:
    path = tmp_path / f"large.{text_format}"
    config = Tree(texts=["a text of a size"] * 15_000)
    path.write_text(getattr(config, f"to_{text_format}")(), encoding="utf-8")
    with pytest.raises(ConfigError, match="more than 200, which is no config"):
        Tree.from_file(path)
    with nshtrainer.large_files():
        assert Tree.from_file(path) == config
    with pytest.raises(ConfigError, match=r"longer than 200 kB.*nshtrainer.large_files\(\)"):
        getattr(Tree, f"from_{text_format}")(path.read_text(encoding="utf-8"))


def test_a_number_too_large_for_python_is_shown_in_words() -> None:
    with pytest.raises(ConfigError, match="got a number of thousands of digits"):
        Leaf.from_mapping({"text": 16**50_000})


def test_text_is_wanted() -> None:
    for read in (Tree.from_yaml, Tree.from_json, Tree.from_toml):
        with pytest.raises(ConfigError, match=r"must be text \(got bytes\)"):
            read(b"a = 1")  # type: ignore[arg-type]


def test_a_yaml_directive_does_not_change_what_words_mean() -> None:
    assert read_yaml("%YAML 1.1\n---\na: no\n").data == {"a": "no"}


@pytest.mark.parametrize("directive", ["%YAML 1.4", "%YAML 2.0", "%TAG ! tag:x,2000:", "%X y"])
def test_another_directive_is_refused(directive: str) -> None:
    with pytest.raises(ConfigError, match=r"^<yaml>:1:1: a directive is not allowed, but for"):
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


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["yaml", "yml", "json", "toml", "YAML"])
def test_a_file_is_written_and_read_by_its_suffix(tmp_path: Path, suffix: str) -> None:
    tree = Tree(leaf=Leaf(number=3, text="é"), table={"a": True})
    path = tmp_path / f"tree.{suffix}"
    tree.to_file(path)
    assert Tree.from_file(str(path)) == tree
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfnumber: 3\n")
    assert Leaf.from_file(path).number == 3


COMMENTED = """\
# The header.
leaf:
    number: 1e-3   # the rate
    text: "quoted"

pair: [3, 4]
texts:   # some
  - 'one'   # first
  - two
# The end.
"""


def test_comments_and_form_of_what_does_not_change_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "tree.yaml"
    path.write_text(COMMENTED)
    Tree.from_file(path).to_file(path)
    assert path.read_text() == COMMENTED
    Tree.from_file(path).override("leaf.number=0.5", "texts.1=three", "flag=true").to_file(path)
    changed = COMMENTED.replace("1e-3 ", "0.5 ").replace("two", "three")
    body, end = changed.split("# The end.\n")
    written = path.read_text()
    assert written.replace("flag: true\n", "").split() == (body + "# The end." + end).split()
    assert Tree.from_file(path).flag is True


def test_what_a_config_no_longer_has_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tree.yaml"
    path.write_text("# Kept.\ntable:\n  a: 1.0 # one\n  b: 2.0 # two\ntexts: [x]\n")
    Tree.from_file(path).replace(table={"b": 2.0}, texts=["x", "z"]).to_file(path)
    assert path.read_text() == "# Kept.\ntable:\n  b: 2.0 # two\ntexts: [x, z]\n"


@pytest.mark.parametrize(
    "text",
    [
        "leaf: &a {number: 1}\nother: *a\n",
        "leaf: &a {number: 1}\nother: {<<: *a, text: x}\n",
        "unknown: 1\nleaf: [\n",
        "- 1\n",
        "",
        "\0",
    ],
)
def test_values_are_right_where_comments_cannot_be_kept(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tree.yaml"
    path.write_text(text)
    tree = Tree(leaf=Leaf(number=2), other=Leaf(number=1, maybe="y"))
    tree.to_file(path)
    assert Tree.from_file(path) == tree


def test_a_file_of_another_class_keeps_its_comments_too(tmp_path: Path) -> None:
    path = tmp_path / "leaf.yaml"
    path.write_text("# Kept.\nunknown: 1\nnumber: 3\n")
    Leaf(number=4).to_file(path)
    assert path.read_text().startswith("# Kept.\n")
    assert Leaf.from_file(path) == Leaf(number=4)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "leaf.json"
    Leaf().to_file(path)
    before = path.read_text()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigError, match="cannot be written: no space left on device") as caught:
        Leaf(number=9).to_file(path)
    assert isinstance(caught.value.__cause__, OSError)
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["leaf.json"]


def test_a_link_is_followed_and_the_mode_is_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("{}")
    target.chmod(0o600)
    link.symlink_to(target)
    Leaf(number=2).to_file(link)
    assert link.is_symlink()
    assert Leaf.from_file(target).number == 2
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["json", "yaml", "toml"])
def test_lone_surrogates_cannot_be_written(tmp_path: Path, kind: str) -> None:
    leaf = Leaf(text="\ud800")
    with pytest.raises(ConfigError, match="Leaf cannot be written: half of a pair of surrogates"):
        getattr(leaf, f"to_{kind}")()
    with pytest.raises(ConfigError, match="cannot be written"):
        leaf.to_file(tmp_path / f"leaf.{kind}")
    assert not list(tmp_path.iterdir())
    emoji = Leaf(text="\N{GRINNING FACE}")
    assert getattr(Leaf, f"from_{kind}")(getattr(emoji, f"to_{kind}")()) == emoji


@pytest.mark.parametrize("kind", ["json", "yaml", "toml"])
def test_lone_surrogates_in_keys_cannot_be_written(kind: str) -> None:
    class Keys(Config):
        texts: dict[str, int] = {}
        anything: Any = None

    half = {"\ud800": 1}
    for keys in (Keys(texts=half), Keys(anything=half), Keys(anything=({1: half},))):
        with pytest.raises(ConfigError, match="Keys cannot be written: half of a pair of surrog"):
            getattr(keys, f"to_{kind}")()
    shown = Keys(texts={"\ufffd": 1}, anything="a")
    assert getattr(Keys, f"from_{kind}")(getattr(shown, f"to_{kind}")()) == shown


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    with pytest.raises(ConfigError, match=r"^.*a\.yaml: is a binary file, not text"):
        Leaf.from_file(path)
    path.write_bytes(b"\xff\xd8text")
    with pytest.raises(
        ConfigError, match=r"is not UTF-8 text \(byte 0 is 0xff\); save it as UTF-8"
    ):
        Leaf.from_file(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with path.open("wb") as stream:
        stream.truncate(50_000_000)
    with pytest.raises(ConfigError, match="has 50,000 kB, more than 200, which is no config"):
        Leaf.from_file(path)


def test_a_missing_file_a_folder_a_device_and_a_wrong_suffix_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; the current folder is /"):
        Leaf.from_file(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="is a folder; give the path of a file"):
        Leaf.from_file(tmp_path)
    with pytest.raises(ConfigError, match=r"has the suffix '\.txt'; name it \.yaml"):
        Leaf.from_file("a.txt")
    with pytest.raises(ConfigError, match="cannot be read: "):
        Leaf.from_file("a\0b.yaml")
    (tmp_path / "null.yaml").symlink_to("/dev/null")
    with pytest.raises(ConfigError, match="is not a regular file"):
        Leaf.from_file(tmp_path / "null.yaml")
    with pytest.raises(ConfigError, match="cannot be written: no such file or directory"):
        Leaf().to_file(tmp_path / "none" / "a.yaml")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes in folders")
def test_no_file_takes_the_place_of_a_device_or_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # as good as /dev/null, which root would lose
    (tmp_path / "leaf.yaml").symlink_to("pipe")
    with pytest.raises(ConfigError, match="is not a regular file; give the path of one"):
        Leaf().to_file(tmp_path / "leaf.yaml")
    assert (tmp_path / "pipe").is_fifo()


def test_the_name_of_the_file_stands_in_every_line(tmp_path: Path) -> None:
    path = tmp_path / "leaf.yaml"
    path.write_text("number: x\ntext: 5\n")
    with pytest.raises(ConfigError) as caught:
        Leaf.from_file(path)
    assert str(caught.value).splitlines() == [
        f"{path}:1:9: number: must be a number (got 'x')",
        f"{path}:2:7: text: must be text (got 5); put it in quotes",
    ]
    assert caught.value.__cause__ is not None
