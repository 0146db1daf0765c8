"""The YAML reader in its corners: tabs that separate, and characters that are written by halves."""

from __future__ import annotations

from typing import Any

import pytest

from nshtrainer.config.formats.yaml_reader import read_yaml
from nshtrainer.exceptions import ConfigError


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a:\t1", {"a": 1}),
        ("a\t: 1", {"a": 1}),
        ("a: 1\t", {"a": 1}),
        ("a: 'x'\t# c", {"a": "x"}),
        ("a:\t\n  1", {"a": 1}),
        ("a: b\tc", {"a": "b\tc"}),
        ("a: b\t c\td #x", {"a": "b\t c\td"}),
        ("a: b\t\n\t\n \t# c\nc: d", {"a": "b", "c": "d"}),
        ("-\t1\n- \t2", [1, 2]),
        ("? a\n:\t1", {"a": 1}),
        ("a: &x\t1\nb:\t*x", {"a": 1, "b": 1}),
        ("a:\t[1,\n\t2\t]", {"a": [1, 2]}),
        ("a:\t{b:\t1}", {"a": {"b": 1}}),
        ("a:\t|\n  x", {"a": "x"}),
        ("---\t# c\na: 1", {"a": 1}),
    ],
)
def test_a_tab_between_two_tokens_of_a_line_separates_them(text: str, data: Any) -> None:
    assert read_yaml(text).data == data


@pytest.mark.parametrize("text", ["\ta: 1", "a:\n\tb: 1", "a:\n\t- 1", "a:\n  b: 1\n  \tc: 2"])
def test_a_tab_that_indents_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="a tab is not indentation; use spaces"):
        read_yaml(text)


@pytest.mark.parametrize("text", ["-\t- 1", "- \ta: 1", "a:\tb: 1", "---\ta: 1"])
def test_no_block_starts_after_a_tab(text: str) -> None:
    with pytest.raises(ConfigError, match="is not valid YAML"):
        read_yaml(text)


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert read_yaml(r'"\ud83d\ude00": "x\ud83d\ude00"').data == {"😀": "x😀"}


@pytest.mark.parametrize("half", [r"\ud83d", r"\ude00", r"\ude00\ud83d"])
def test_half_of_a_pair_of_surrogates_is_refused(half: str) -> None:
    with pytest.raises(ConfigError, match=r"<yaml>:1:4: half of a pair of surrogates is no char"):
        read_yaml(f'a: "{half}"')
