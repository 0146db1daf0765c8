"""Parsed documents: plain data with the source position of each value, and size limits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, cast

from nshtrainer.config.parts import parts_of
from nshtrainer.escaping import printable
from nshtrainer.exceptions import ConfigError

__all__ = [
    "BINARY",
    "MAX_DEPTH",
    "MAX_DIGITS",
    "TOO_DEEP",
    "TOO_MANY_DIGITS",
    "Document",
    "Keys",
    "Limits",
    "Locate",
    "check_limits",
    "check_nodes",
    "check_text",
    "check_unicode",
    "count_work",
    "fail",
    "joined",
    "large_files",
    "limits",
    "spend",
    "whole_number",
]

Keys: TypeAlias = "tuple[Any, ...]"
"""The path of a value: the keys and indices from the root, `("optimizer", "betas", 1)`."""

Locate: TypeAlias = Callable[[Keys, bool], "tuple[int, int] | None"]
"""Line and column (from 1) of the value at a path, or of its key; of its nearest known parent."""

MAX_DEPTH = 100
"""The deepest nesting that is accepted."""

MAX_DIGITS = 4300
"""The most digits of a whole number: Python's own limit."""

BINARY = "is a binary file, not text; give a YAML, JSON or TOML file"
TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels; flatten it"
TOO_MANY_DIGITS = f"a number of more than {MAX_DIGITS} digits; write it with an exponent"


@dataclass(frozen=True)
class Limits:
    """Size limits of a text. A config is a page or two.

    Args:
        bytes: The most bytes, and the most characters with aliases expanded.
        lines: The most lines. A parser spends more time on an empty line than on a letter.
        nodes: The most keys and values; an alias counts as much as the value that it repeats.
        work: The most units of work for validators that compile parts of a text, such as patterns;
            a unit is about a microsecond.
    """

    bytes: int = 200_000
    lines: int = 10_000
    nodes: int = 5_000
    work: int = 200_000


_USUAL, _LARGE = Limits(), Limits(10_000_000, 1_000_000, 1_000_000, 10_000_000)
_limits: ContextVar[Limits] = ContextVar("limits", default=_USUAL)
_work: ContextVar[Counter[str] | None] = ContextVar("work", default=None)
"""The units that the validation of the current text has used; `None` outside of a validation."""

_ADVICE = "shorten it, or read it within nshtrainer.large_files() if it is your own"


def limits() -> Limits:
    """Return the limits in force."""
    return _limits.get()


@contextmanager
def large_files() -> Generator[None, None, None]:
    """Allow texts of up to 10 MB and a million lines, keys and values within a block.

    For trusted files, such as a config that a program wrote: an untrusted one costs up to 20
    microseconds for each value before it is refused.

    >>> from nshtrainer.configs import AdamWConfig
    >>> rules = [{"name": f"rule{index}", "select": f"layers.{index}"} for index in range(1000)]
    >>> with large_files():
    ...     config = AdamWConfig.from_json(AdamWConfig(groups=rules).to_json())
    >>> len(config.groups)
    1000
    """
    token = _limits.set(_LARGE)
    try:
        yield
    finally:
        _limits.reset(token)


@contextmanager
def count_work() -> Generator[None, None, None]:
    """Limit the work that validators spend on one text within a block."""
    token = _work.set(Counter())
    try:
        yield
    finally:
        _work.reset(token)


def spend(units: int, purpose: str) -> None:
    """Count work for a text, before the work is done.

    Args:
        units: An estimate, in microseconds.
        purpose: The subject of the error message.

    Raises:
        ValueError: The text has used up its limit.
    """
    spent = _work.get()
    if spent is None:
        return
    if spent["units"] + units > limits().work:
        raise ValueError(f"{purpose} would take too long, with those before it; {_ADVICE}")
    spent["units"] += units


def nowhere(path: Keys, of_key: bool) -> None:
    """Return None: data without a text has no lines and columns."""


@dataclass(frozen=True)
class Document:
    """Plain data with the source positions of its values.

    Args:
        data: Mappings, lists, text, numbers, booleans and None.
        source: The origin of the data: the path of a file, or `<yaml>`; empty for none.
        locate: Returns line and column of a path.
    """

    data: Any
    source: str = ""
    locate: Locate = nowhere

    def place(self, path: Keys, *, of_key: bool = False) -> str:
        """Return `file:line:column` of a value or its key; `file` alone if lines are unknown."""
        spot = self.locate(path, of_key)
        return self.source if spot is None else f"{self.source}:{spot[0]}:{spot[1]}"


def fail(place: str, text: str, cause: BaseException | None = None) -> NoReturn:
    """Raise a `ConfigError` with the text after the place, and the cause chained."""
    raise ConfigError(printable(f"{place}: {text}" if place else text)) from cause


def check_text(text: Any, source: str) -> str:
    """Return the text, with surrogate pairs joined, if it has a reasonable length.

    Raises:
        ConfigError: The value is not text, is too long, or has NUL characters.
    """
    if not isinstance(text, str):
        fail(source, f"must be text (got {type(text).__name__}); decode it first")
    most = limits()
    if len(text) > most.bytes:
        fail(source, f"is longer than {most.bytes // 1000:,} kB, which is no config; {_ADVICE}")
    if len(text.splitlines()) > most.lines:
        fail(source, f"has more than {most.lines:,} lines, which is no config; {_ADVICE}")
    if "\0" in text:
        fail(source, BINARY)
    try:
        return joined(text)
    except ValueError as error:
        fail(source, str(error), error)


def joined(text: str) -> str:
    r"""Join the halves of surrogate pairs in a text, as JSON writes an emoji.

    >>> joined("\ud83d\ude00")
    '😀'

    Raises:
        ValueError: Half of a pair has no other half: it is no character and cannot be encoded.
    """
    half = _HALF.search(text)
    if half is None:
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ValueError(_alone(half[0])) from None


def _alone(half: str) -> str:
    problem = f"half of a pair of surrogates is no character ({ascii(half)[1:-1]})"
    return f"{problem}; write the character"


_HALF = re.compile("[\ud800-\udfff]")


def check_unicode(document: Document) -> Document:
    """Return the document if all its keys and texts can be encoded.

    Raises:
        ConfigError: Half of a surrogate pair has no other half; the message has its place.
    """
    level: list[tuple[Keys, Any]] = [((), document.data)]
    while level:
        for path, value in level:
            for text, of_key in ((path[-1] if path else None, True), (value, False)):
                half = _HALF.search(text) if isinstance(text, str) else None
                if half:
                    fail(document.place(path, of_key=of_key), _alone(half[0]))
        level = [((*path, key), part) for path, value in level for key, part in parts_of(value)]
    return document


def check_limits(data: Any, source: str) -> None:
    """Refuse plain data that is nested too deep or has too many values, without recursion.

    Raises:
        ConfigError: The data has more than `MAX_DEPTH` levels, more keys and values than allowed,
            or a whole number of more than `MAX_DIGITS` digits.
    """
    # Level by level: recursion would hit Python's own limit, on data that is checked for its depth.
    level: list[Any] = [data]
    nodes = 0
    for _ in range(MAX_DEPTH + 1):
        mappings = [cast("dict[Any, Any]", value) for value in level if isinstance(value, dict)]
        nodes += len(level) + sum(map(len, mappings))
        if any(isinstance(value, int) and abs(value) >= _TOO_LARGE for value in level):
            fail(source, TOO_MANY_DIGITS)
        level = [part for value in level for _, part in parts_of(value)]
        if not level:
            break
    else:
        fail(source, TOO_DEEP)
    check_nodes(nodes, source)


def check_nodes(nodes: int, source: str) -> None:
    """Refuse more keys and values than the limit.

    Raises:
        ConfigError: The number is above the limit.
    """
    if nodes > limits().nodes:
        fail(source, f"has more than {limits().nodes:,} keys and values; {_ADVICE}")


def whole_number(digits: str, base: int = 10) -> int:
    """Parse a whole number.

    Raises:
        ValueError: The number has more than `MAX_DIGITS` digits.
    """
    if len(digits) > MAX_DIGITS:
        raise ValueError(TOO_MANY_DIGITS)
    return int(digits, base)


_TOO_LARGE = 10**MAX_DIGITS
