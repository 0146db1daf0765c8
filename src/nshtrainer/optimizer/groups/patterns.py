"""Patterns for parameter names, which match in time linear in the length of the name.

A regular expression is compiled by pydantic's engine, the `regex` of Rust. The engine does not
backtrack, and refuses an expression that needs more than 10 MB. It lacks look-around and
backreferences.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from functools import lru_cache, partial
from math import prod
from typing import TypeAlias

from pydantic_core import SchemaError, SchemaValidator, core_schema

from nshtrainer.config.document import spend
from nshtrainer.config.messages import truncate

__all__ = ["Matcher", "matcher", "numberer", "numbers_in"]

Matcher: TypeAlias = Callable[[str], bool]
"""Function that returns True if a pattern matches a whole name."""

_LONGEST = 500
_LARGEST = 100_000
"""Largest estimated time to compile a pattern, in microseconds."""

_TOO_LARGE = "it is too large; write fewer and smaller repetitions"
_remembered = lru_cache(maxsize=10_000)
_DIGITS = re.compile(r"\d+", re.ASCII)
_TOKEN = re.compile(r"\\.|\[\^?\]?|\]|\(\?P?<\w+>|\(\??|\)", re.DOTALL)
"""Tokens of a regular expression: escapes, and the ends of groups and character classes."""

_CLASS = r"\[\^?\]?(?:[^][\\]|\\.|\[[^]]*\])*\]"
_ATOM = re.compile(rf"(\\.|{_CLASS}|.)((?:[*+?]|\{{\d+(?:,\d*)?\}})*)", re.DOTALL)
_COUNT = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_FLAG = r"(?<!\\)\(\?[a-zA-Z-]*"
_FOLDS_CASE = re.compile(f"{_FLAG}i")
_IS_VERBOSE = re.compile(f"{_FLAG}x")

_WEIGHTS = ((re.compile(r"\\[wWpP]"), 300), (re.compile(r"\\D"), 75), (re.compile(r"\\[dS]"), 30))
"""Classes of Unicode characters, and the microseconds that each takes to compile."""

_FOLDED_RANGE = re.compile(r"\[.*(?:\\[xuU]|[^\x00-\x7f])", re.DOTALL)
_FOLDED_WEIGHT = 3_400


@_remembered
def matcher(pattern: str) -> Matcher:
    """Return the matcher of a glob or of `re:`; a glob for a module matches all inside it.

    >>> [matcher("head")(name) for name in ("head", "head.weight", "heads")]
    [True, True, False]

    Raises:
        ValueError: The pattern is empty, too long, or not a valid regular expression.
    """
    _check_length(pattern)
    if pattern.startswith("re:"):
        return _regex(pattern.removeprefix("re:"))
    spend(len(pattern) + 16 * pattern.count("*"), "to compile this pattern")
    glob = re.compile(rf"{_glob(pattern)}(?:\..*)?", re.DOTALL)
    return lambda name: glob.fullmatch(name) is not None


def numbers_in(pattern: str) -> int:
    """Return how many places for a number a pattern has: `*`, or the groups of a `re:`."""
    if pattern.startswith("re:"):
        return len(_groups(pattern.removeprefix("re:")))
    return pattern.count("*")


@_remembered
def numberer(pattern: str) -> Callable[[str], int | None]:
    r"""Return a function that finds the number in a name: at the `*`, or in the group of a `re:`.

    >>> [numberer(pattern)("layers.12.weight") for pattern in ("layers.*", r"re:.*\.(\d+)\..*")]
    [12, 12]
    """
    if not pattern.startswith("re:"):
        before, _, after = pattern.partition("*")
        glob = re.compile(rf"{_glob(before)}(\d+){_glob(after)}(?:\..*)?", re.DOTALL)
        return lambda name: int(found[1]) if (found := glob.fullmatch(name)) else None
    text = pattern.removeprefix("re:")
    ((start, end),) = _groups(text)
    return partial(_number_in_regex, text, start, end)


def _number_in_regex(text: str, start: int, end: int, name: str) -> int | None:
    """Return the first number in the name that the expression matches in place of its group."""
    # pydantic's engine returns no groups, so each number in the name is tried in its place.
    if not _regex(text)(name):
        return None
    for digits in dict.fromkeys(_DIGITS.findall(name)):
        in_place = f"{text[:start]}(?:{digits}){text[end:]}"
        if _regex(text[start:end])(digits) and _regex(in_place)(name):
            return int(digits)
    return None


def _check_length(pattern: str) -> None:
    if not pattern.removeprefix("re:"):
        raise ValueError("an empty pattern matches nothing; write '*' for all parameters")
    if len(pattern) > _LONGEST:
        raise ValueError(
            f"a pattern of {len(pattern):,} characters is too long; write several of at most "
            f"{_LONGEST} in a list"
        )


def _glob(pattern: str) -> str:
    """Return a glob as an expression for the beginning of a name."""
    return fnmatch.translate(pattern)[:-2]  # without the end of the text


@_remembered
def _regex(text: str) -> Matcher:
    if _IS_VERBOSE.search(text):  # its blanks and comments would hide repetitions from the estimate
        raise ValueError(_refusal(text, "it has the flag x; write it without"))
    if (cost := _cost(text)) > _LARGEST:
        raise ValueError(_refusal(text, _TOO_LARGE))
    spend(cost, "to compile this pattern")
    try:
        SchemaValidator(_pattern(text))  # alone first: its brackets must not close the outer group
        return SchemaValidator(_pattern(rf"\A(?:{text})\z")).isinstance_python
    except SchemaError as error:
        raise ValueError(_refusal(text, _reason(str(error)))) from None


def _refusal(text: str, reason: str) -> str:
    return f"{truncate(f're:{text}')!r} is no regular expression: {reason}"


def _cost(text: str) -> int:
    r"""Estimate the time to compile an expression, in microseconds; Unicode classes are large.

    >>> _cost("head"), _cost(r"[ab]{1,20}"), _cost(r"(\w{1,9}){9}")
    (4, 120, 24390)
    """
    total, times, folds_case = 0, 1, _FOLDS_CASE.search(text) is not None
    for atom, repetitions in _ATOM.findall(text):
        count = prod(max(1, int(high or low)) for low, high in _COUNT.findall(repetitions))
        if atom in ")]":
            # An upper bound: a repeated group counts as if the whole expression were repeated.
            times *= count
        total += count * _weight(atom, folds_case)
    return total * times


def _weight(atom: str, folds_case: bool) -> int:
    if folds_case and _FOLDED_RANGE.match(atom):
        return _FOLDED_WEIGHT
    plain = 6 if len(atom) > 1 or atom == "." else 1
    return next((weight for pattern, weight in _WEIGHTS if pattern.search(atom)), plain)


def _pattern(text: str) -> core_schema.CoreSchema:
    return core_schema.str_schema(pattern=text, regex_engine="rust-regex", strict=True)


def _reason(text: str) -> str:
    _, found, reason = text.rpartition("error: ")
    if "look-around" in reason:
        return f"{reason}; name what shall not match in none_of"
    return reason if found else _TOO_LARGE


def _groups(text: str) -> list[tuple[int, int]]:
    """Return the start and the end of each capturing group in a regular expression."""
    found: list[tuple[int, int]] = []
    opened: list[int | None] = []
    classes = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token.startswith("["):
            classes += 1
        elif token == "]":
            classes = max(classes - 1, 0)
        elif classes or token.startswith("\\"):
            continue
        elif token != ")":
            # `(?:` and flags do not capture.
            opened.append(None if token == "(?" else match.start())
        elif opened and (start := opened.pop()) is not None:
            found.append((start, match.end()))
    return found
