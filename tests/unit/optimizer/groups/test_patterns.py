"""Patterns for names: bounded in compiling and in matching, and the numbers that they find."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nshtrainer
from nshtrainer.configs import AdamWConfig
from nshtrainer.exceptions import ConfigError
from nshtrainer.optimizer.groups.patterns import matcher, numberer, numbers_in

LONG = "blocks." * 1000 + "weight"


@pytest.mark.parametrize(
    "pattern",
    [
        "re:(a|aa)+c",
        "re:(.*)*x",
        "re:(?:(?:(?:.+)+)+)+x",
        "re:" + ".*" * 240 + "x",
        "re:" + "a?" * 100 + "a" * 100,
        "*a" * 250,
        "*?" * 250,
    ],
)
def test_matching_takes_a_time_that_grows_with_the_name(pattern: str) -> None:
    for name in ("a" * 5000 + "b", LONG):
        matcher(pattern)(name)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(?:" * 20 + "a" + "){1,1000}" * 20, "it is too large; write fewer and smaller repet"),
        (r"\w{1,1000}" * 40, "it is too large; write fewer and smaller repetitions"),
        ("a" * 8000, r"a pattern of 8,003 characters is too long; write several of at most 500"),
        ("(?i)" + r"[\x00-\x{10ffff}]" * 29, None),
        ("(?x) . { 1 , 999 }", "it has the flag x; write it without"),
        (r"\(?x", None),
        (r"(a)\1", "backreferences are not supported"),
        ("(?!head).*", "look-ahead .* is not supported; name what shall not match in none_of"),
        ("a)|(?:b", "unopened group"),
        ("[", "unclosed character class"),
    ],
)
def test_what_would_be_slow_to_compile_is_refused(pattern: str, problem: str | None) -> None:
    data = {"groups": [{"name": "a", "select": f"re:{pattern}"}]}
    if problem is None:
        AdamWConfig.from_mapping(data)
        return
    with pytest.raises(ConfigError, match=problem):
        AdamWConfig.from_mapping(data)


@pytest.mark.parametrize(
    "pattern",
    [
        "re:{}" + r".{{1,999}}",
        r"re:{}\w+\w+\w+",
        "re:{}(a{{1,99}}){{1,99}}",
        r"re:(?i){}[\x00-\x{{ffff}}]",
        r"re:{}" + r"\D" * 30,
        r"re:{}[[[\w]]]{{1,99}}",
        r"re:{}\w{{9}}{{9}}",
        r"re:{}\w{{1,9}}?{{9}}",
        "{}" + "*a" * 200,
    ],
)
def test_many_patterns_are_refused_in_sum(pattern: str) -> None:
    patterns = [pattern.format(number) for number in range(400)]
    text = json.dumps({"groups": [{"name": "a", "lr_mult": 0.5, "select": patterns}]})
    began = time.process_time()
    with pytest.raises(ConfigError, match=r"to compile this pattern would take too long, with tho"):
        AdamWConfig.from_json(text)
    assert time.process_time() - began < 2
    with nshtrainer.large_files():
        matcher(patterns[-1])


def test_a_thousand_usual_patterns_are_taken() -> None:
    patterns = [rf"re:blocks\.{n}\.(attn|mlp)\.\d{{1,2}}\..*" for n in range(1000)]
    AdamWConfig.from_mapping({"groups": [{"name": "a", "lr_mult": 0.5, "select": patterns}]})


def test_a_long_glob_is_refused_as_well() -> None:
    with pytest.raises(ConfigError, match=r"too long; write several of at most 500 in a list"):
        AdamWConfig.from_mapping({"groups": [{"name": "a", "select": "?" * 501}]})


NAMES = st.text("abz.019_", min_size=1, max_size=12)
PARTS = ["a", "b", r"\.", r"\d", "[ab]", "[^a]", "(?:b|z)", ".", "a+", "z*", r"\d{1,2}", "(?P<n>_)"]


@given(parts=st.lists(st.sampled_from(PARTS), min_size=1, max_size=6), name=NAMES)
def test_matches_are_those_of_python(parts: list[str], name: str) -> None:
    text = "".join(dict.fromkeys(parts))
    assert matcher(f"re:{text}")(name) == (re.fullmatch(text, name) is not None)


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        (r"re:layers\.(\d+)\..*", 1),
        (r"re:(?P<n>\d+)", 1),
        (r"re:(?:a|b)\((\d+)", 1),
        (r"re:[(]\d+[]()]", 0),
        (r"re:[^](](\d+)", 1),
        (r"re:(a(\d))(b)", 3),
        (r"re:\[(\d)\]", 1),
        ("re:(?i)a", 0),
        ("layers.*", 1),
    ],
)
def test_groups_are_counted_as_python_counts_them(pattern: str, count: int) -> None:
    assert numbers_in(pattern) == count
    if pattern.startswith("re:"):
        assert re.compile(pattern.removeprefix("re:")).groups == count


@pytest.mark.parametrize(
    ("pattern", "name", "number"),
    [
        (r"re:layers\.(\d+)\..*", "layers.12.weight", 12),
        (r"re:layers\.(\d+)\..*", "head.weight", None),
        (r"re:.*\.(\d+)\..*", "layers.12.weight", 12),
        (r"re:layers\.\d+\.sub\.(\d+)\..*", "layers.3.sub.4.weight", 4),
        (r"re:layers\.(\d+)\.sub\.\d+\..*", "layers.3.sub.4.weight", 3),
        (r"re:layers\.([0-5])\..*", "layers.7.weight", None),
        (r"re:layers\.(\w+)\..*", "layers.x.weight", None),
        ("layers.*", "layers.7.weight", 7),
        ("layers.*", "layers.x.weight", None),
    ],
)
def test_the_number_stands_where_the_group_is(pattern: str, name: str, number: int | None) -> None:
    assert numberer(pattern)(name) == number
