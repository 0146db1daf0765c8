"""Limits of what is read from YAML, JSON and TOML: nesting, size, numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.config.formats.test_formats import Leaf, Tree

import nshtrainer
from nshtrainer.config.document import limits
from nshtrainer.config.formats.json import read_json
from nshtrainer.config.formats.yaml_reader import read_yaml
from nshtrainer.exceptions import ConfigError


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
