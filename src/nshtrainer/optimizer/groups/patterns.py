"""Patterns for names of parameters, matched in a time that grows with the name, whatever they are.

A regular expression is compiled by pydantic's engine, the `regex` of Rust: it does not backtrack,
and an expression that needs more than 10 MB is refused. It lacks look-around and backreferences.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from functools import cache, partial
from typing import TypeAlias

from pydantic_core import SchemaError, SchemaValidator, core_schema

from nshtrainer.config.messages import truncate

__all__ = ["Matcher", "matcher", "numberer", "numbers_in"]

Matcher: TypeAlias = Callable[[str], bool]
"""Return True for a name that a pattern matches as a whole."""

_LONGEST = 500
_DIGITS = re.compile(r"\d+", re.ASCII)
_TOKEN = re.compile(r"\\.|\[\^?\]?|\]|\(\?P?<\w+>|\(\??|\)", re.DOTALL)
"""What opens and closes groups and classes of characters, and what is escaped."""


@cache
def matcher(pattern: str) -> Matcher:
    """Return the matcher of a glob, which takes all that is in a module too, or of `re:`.

    >>> [matcher("head")(name) for name in ("head", "head.weight", "heads")]
    [True, True, False]

    Raises:
        ValueError: The pattern is empty or too long, or no regular expression.
    """
    _check_length(pattern)
    if pattern.startswith("re:"):
        return _regex(pattern.removeprefix("re:"))
    glob = re.compile(rf"{_glob(pattern)}(?:\..*)?", re.DOTALL)
    return lambda name: glob.fullmatch(name) is not None


def numbers_in(pattern: str) -> int:
    """Return the number of places for a number: of `*`, or of the groups of a `re:`."""
    if pattern.startswith("re:"):
        return len(_groups(pattern.removeprefix("re:")))
    return pattern.count("*")


@cache
def numberer(pattern: str) -> Callable[[str], int | None]:
    r"""Return what finds the number in a name: at the one `*`, or in the one group of a `re:`.

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
    """Return a glob as an expression that a name may go on after."""
    return fnmatch.translate(pattern)[:-2]  # without the end of the text


@cache
def _regex(text: str) -> Matcher:
    try:
        SchemaValidator(_pattern(text))  # by itself, so that no bracket closes what is around it
        return SchemaValidator(_pattern(rf"\A(?:{text})\z")).isinstance_python
    except SchemaError as error:
        reason = _reason(str(error))
        raise ValueError(f"{truncate(f're:{text}')!r} is no regular expression: {reason}") from None


def _pattern(text: str) -> core_schema.CoreSchema:
    return core_schema.str_schema(pattern=text, regex_engine="rust-regex", strict=True)


def _reason(text: str) -> str:
    _, found, reason = text.rpartition("error: ")
    if "look-around" in reason:
        return f"{reason}; name what shall not match in none_of"
    return reason if found else "it is too large; write fewer and smaller repetitions"


def _groups(text: str) -> list[tuple[int, int]]:
    """Return where the groups that capture begin and end in a regular expression."""
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
            opened.append(None if token == "(?" else match.start())
        elif opened and (start := opened.pop()) is not None:
            found.append((start, match.end()))
    return found
