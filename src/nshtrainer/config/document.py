"""What was read: plain data, and the place in the text where each value stands."""

from __future__ import annotations

import re
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
"""The way to a value: the keys and indices from the root, `("optimizer", "betas", 1)`."""

Locate: TypeAlias = Callable[[Keys, bool], "tuple[int, int] | None"]
"""Line and column (from 1) of the value at a path, or of its key; of the nearest above if none."""

MAX_DEPTH = 100
"""The deepest nesting that is read."""

MAX_DIGITS = 4300
"""The most digits of a whole number, which is Python's own limit."""

BINARY = "is a binary file, not text; give a YAML, JSON or TOML file"
TOO_DEEP = f"is nested deeper than {MAX_DEPTH} levels; flatten it"
TOO_MANY_DIGITS = f"a number of more than {MAX_DIGITS} digits; write it with an exponent"


@dataclass(frozen=True)
class Limits:
    """How large a text may be that is read. A config is a page or two.

    Args:
        bytes: The most bytes, and the most characters with aliases expanded.
        lines: The most lines. A reader spends more on an empty line than on a letter.
        nodes: The most keys and values; an alias counts as much as what it stands for.
        work: The most units of work for validators that compile what is in a text, such as
            patterns; each takes about a microsecond.
    """

    bytes: int = 200_000
    lines: int = 10_000
    nodes: int = 5_000
    work: int = 200_000


_USUAL, _LARGE = Limits(), Limits(10_000_000, 1_000_000, 1_000_000, 10_000_000)
_limits: ContextVar[Limits] = ContextVar("limits", default=_USUAL)
_work: ContextVar[list[int] | None] = ContextVar("work", default=None)
"""The units that the validation of a text has used; `None` outside of one."""

_ADVICE = "shorten it, or read it within nshtrainer.large_files() if it is your own"


def limits() -> Limits:
    """What holds here."""
    return _limits.get()


@contextmanager
def large_files() -> Generator[None, None, None]:
    """Within this block, read texts of up to 10 MB and a million lines, keys and values.

    For files of your own, such as a config that a program wrote: what a stranger sends costs up to
    20 microseconds a value before it is refused.

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
    """Within this block, bound the work that validators spend on one text."""
    token = _work.set([])
    try:
        yield
    finally:
        _work.reset(token)


def spend(units: int, purpose: str) -> None:
    """Count work for a text, before it is done.

    Args:
        units: An estimate, in microseconds.
        purpose: What it is done for, in the message.

    Raises:
        ValueError: The text has used up what it may take.
    """
    spent = _work.get()
    if spent is None:
        return
    if sum(spent) + units > limits().work:
        raise ValueError(f"{purpose} would take too long, with those before it; {_ADVICE}")
    spent.append(units)


def nowhere(path: Keys, of_key: bool) -> None:
    """Data that has no lines and columns."""


@dataclass(frozen=True)
class Document:
    """Plain data with the places of its values.

    Args:
        data: Mappings, lists, text, numbers, booleans and None.
        source: What it was read from, a file's path or such as `<yaml>`; empty for none.
        locate: Line and column of a path.
    """

    data: Any
    source: str = ""
    locate: Locate = nowhere

    def place(self, path: Keys, *, of_key: bool = False) -> str:
        """`file:line:column` of a value, or of its key; only `file` where lines are not known."""
        spot = self.locate(path, of_key)
        return self.source if spot is None else f"{self.source}:{spot[0]}:{spot[1]}"


def fail(place: str, text: str, cause: BaseException | None = None) -> NoReturn:
    """Raises a `ConfigError` with the text after the place, and the cause chained."""
    raise ConfigError(printable(f"{place}: {text}" if place else text)) from cause


def check_text(text: Any, source: str) -> str:
    """Returns the text if it is text of a reasonable length.

    Raises:
        ConfigError: It is something else, too long, or it has NUL characters.
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
    r"""Return a text with the halves of surrogate pairs joined, as JSON writes an emoji.

    >>> joined("\ud83d\ude00")
    '😀'

    Raises:
        ValueError: Half of a pair stands alone, which is no character and cannot be written.
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
    """Return the document if each of its keys and texts can be written.

    Raises:
        ConfigError: Half of a surrogate pair stands alone; the message has its place.
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
    """Refuses plain data that is nested too deep or has too much in it. It does not recurse.

    Raises:
        ConfigError: More than `MAX_DEPTH` levels, more keys and values than are allowed, or a whole
            number of more than `MAX_DIGITS` digits.
    """
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
    """Refuses a number of keys and values.

    Raises:
        ConfigError: It is more than are allowed.
    """
    if nodes > limits().nodes:
        fail(source, f"has more than {limits().nodes:,} keys and values; {_ADVICE}")


def whole_number(digits: str, base: int = 10) -> int:
    """The number that these digits write.

    Raises:
        ValueError: There are more than `MAX_DIGITS` digits.
    """
    if len(digits) > MAX_DIGITS:
        raise ValueError(TOO_MANY_DIGITS)
    return int(digits, base)


_TOO_LARGE = 10**MAX_DIGITS
