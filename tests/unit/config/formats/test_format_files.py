"""Files: reading by suffix, comments that are kept, writes that fail, what is no file."""

# ruff: noqa: RUF012, a default of a field is no class attribute
from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.unit.config.formats.test_formats import Leaf, Tree

from nshtrainer.config import Config
from nshtrainer.config.files import format_of
from nshtrainer.exceptions import ConfigError

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


def test_python_code_is_no_config_file() -> None:
    for name in ("train.py", "train.py:Model"):
        with pytest.raises(ConfigError, match=f"^{name}: is Python code; give the config, a .yaml"):
            format_of(name)
    assert format_of("train.py:runs/run.yaml") == "yaml"


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
    assert isinstance(caught.value.__context__, ValidationError)
