"""What was read: plain data, and the place in the text where each value stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, cast

from nshtrainer.exceptions import ConfigError

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_DIGITS",
    "MAX_NODES",
    "Document",
    "Keys",
    "Locate",
    "check_limits",
    "check_text",
    "fail",
    "whole_number",
]

Keys: TypeAlias = "tuple[Any, ...]"
"""The way to a value: the keys and indices from the root, `("optimizer", "betas", 1)`."""

Locate: TypeAlias = Callable[[Keys, bool], "tuple[int, int] | None"]
"""Line and column (from 1) of the value at a path, or of its key; of the nearest above if none."""

MAX_BYTES = 10_000_000
"""The longest text that is read, in bytes. A config is a page or two."""

MAX_DEPTH = 100
"""The deepest nesting that is read."""

MAX_NODES = 200_000
"""The most values in a document; an alias counts as much as what it stands for."""

MAX_DIGITS = 4300
"""The most digits of a whole number, which is Python's own limit."""


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
    raise ConfigError(f"{place}: {text}" if place else text) from cause


def check_text(text: Any, source: str) -> str:
    """Returns the text if it is text of a reasonable length.

    Raises:
        ConfigError: It is something else, too long, or it has NUL characters.
    """
    if not isinstance(text, str):
        fail(source, f"must be text (got {type(text).__name__}); decode it first")
    if len(text) > MAX_BYTES:
        fail(source, f"is longer than {MAX_BYTES // 1_000_000} MB, which is no config; shorten it")
    if "\0" in text:
        fail(source, "is a binary file, not text; give a YAML, JSON or TOML file")
    return text


def check_limits(data: Any, source: str) -> None:
    """Refuses plain data that is nested too deep or has too many values. It does not recurse.

    Raises:
        ConfigError: More than `MAX_DEPTH` levels or more than `MAX_NODES` values.
    """
    level: list[Any] = [data]
    nodes = 0
    for _ in range(MAX_DEPTH + 1):
        nodes += len(level)
        level = [part for value in level for part in _parts(value)]
        if not level:
            break
    else:
        fail(source, f"is nested deeper than {MAX_DEPTH} levels; flatten it")
    if nodes > MAX_NODES:
        fail(source, f"has more than {MAX_NODES:,} values; shorten it")


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(cast("dict[Any, Any]", value).values())
    return cast("list[Any]", value) if isinstance(value, list) else []


def whole_number(digits: str, base: int = 10) -> int:
    """The number that these digits write.

    Raises:
        ValueError: There are more than `MAX_DIGITS` digits.
    """
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits; write it as 1e{len(digits)}")
    return int(digits, base)
