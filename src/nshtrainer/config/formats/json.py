"""JSON reader and writer. Source positions are computed only when an error is reported."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from nshtrainer.config.document import (
    TOO_DEEP,
    Document,
    Keys,
    check_limits,
    check_text,
    check_unicode,
    fail,
    whole_number,
)
from nshtrainer.config.messages import lower_first, truncate
from nshtrainer.escaping import json_text

__all__ = ["read_json", "write_json"]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""The escape of half of a surrogate pair."""


class _DuplicateKeyError(Exception):
    pass


def read_json(text: str, source: str = "<json>") -> Document:
    """Read JSON, with `NaN` and `Infinity` as numbers.

    Raises:
        ConfigError: The text is not JSON, has a duplicate key, or is too big or too deep.
    """
    text = check_text(text, source)
    try:
        data = json.loads(text, object_pairs_hook=_object, parse_int=whole_number)
    except json.JSONDecodeError as error:
        place = f"{source}:{error.lineno}:{error.colno}"
        reason = f"{lower_first(error.msg)}; check the commas, quotes and brackets"
        fail(place, f"is not valid JSON: {reason}", error)
    except RecursionError as error:
        fail(source, TOO_DEEP, error)
    except _DuplicateKeyError as error:
        key, offset = _duplicate(text)
        line, column = _spot(text, offset)
        problem = f"key {truncate(key)!r} is given twice; remove one"
        fail(f"{source}:{line}:{column}", problem, error)
    except ValueError as error:
        fail(source, str(error), error)
    check_limits(data, source)
    document = Document(data, source, lambda path, of_key: _locate(text, path, of_key))
    return check_unicode(document) if _SURROGATE.search(text) else document


def write_json(data: Any) -> str:
    """Return plain data as JSON, indented by two, with `NaN` and `Infinity` as words.

    Raises:
        ValueError: A text has half of a surrogate pair, which cannot be encoded.
    """
    text = json.dumps(data, indent=2, ensure_ascii=False)
    text.encode()
    return json_text(text) + "\n"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _DuplicateKeyError
    return made


def _places(text: str) -> Iterator[tuple[Keys, int, int]]:
    """Yield the path of every value of valid JSON, with the offsets of its key and of the value."""
    path: list[Any] = []
    keys: list[int] = []
    for match in _TOKEN.finditer(text):
        token, offset = match[0], match.start()
        if token in ("}", "]"):
            path.pop()
            keys.pop()
        elif token == ",":
            path[-1] = path[-1] + 1 if isinstance(path[-1], int) else None
        elif path and path[-1] is None and token != ":":
            path[-1], keys[-1] = json.loads(token), offset
        elif token != ":":
            yield tuple(path), keys[-1] if path and isinstance(path[-1], str) else offset, offset
            if token in ("{", "["):
                path.append(None if token == "{" else 0)
                keys.append(offset)


def _locate(text: str, path: Keys, of_key: bool) -> tuple[int, int]:
    depth, found = -1, 0
    for here, key, value in _places(text):
        if len(here) > depth and here == path[: len(here)]:
            depth, found = len(here), key if of_key and here == path else value
    return _spot(text, found)


def _duplicate(text: str) -> tuple[str, int]:
    seen: set[Keys] = set()
    for path, key, _ in _places(text):
        if path in seen:
            return path[-1], key
        seen.add(path)
    raise AssertionError("there is no key twice")  # pragma: no cover


def _spot(text: str, offset: int) -> tuple[int, int]:
    line = text.count("\n", 0, offset) + 1
    return line, offset - text.rfind("\n", 0, offset)
