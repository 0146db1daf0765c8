"""TOML reader and writer. TOML has no null, and its parser reports no source positions."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

import tomli_w
from pydantic import BaseModel

from nshtrainer.config.document import (
    MAX_DEPTH,
    TOO_DEEP,
    TOO_MANY_DIGITS,
    Document,
    Keys,
    check_limits,
    check_nodes,
    check_text,
    fail,
)
from nshtrainer.config.field_types import default_of, part_of
from nshtrainer.config.messages import dotted, lower_first

__all__ = ["read_toml", "write_toml"]

tomllib: Any = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_KEY_PART = r"""(?:[\w-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_DOTTED = re.compile(rf"(?<![\w-])(?:{_KEY_PART}[ \t]*\.[ \t]*){{1,{2 * MAX_DEPTH}}}")
"""The parts of a dotted key but the last. The parser takes time quadratic in their number."""


def read_toml(text: str, source: str = "<toml>") -> Document:
    """Read TOML.

    Raises:
        ConfigError: The text is not TOML, or is too big or too deep.
    """
    text = check_text(text, source)
    dots = [found[0].count(".") for found in _DOTTED.finditer(text)]
    if max(dots, default=0) >= MAX_DEPTH:
        fail(source, TOO_DEEP)
    check_nodes(sum(dots), source)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place, reason = _syntax(str(error), source)
        fail(place, f"is not valid TOML: {reason}", error)
    except RecursionError as error:
        fail(source, TOO_DEEP, error)
    except ValueError as error:  # more digits than Python reads
        fail(source, TOO_MANY_DIGITS, error)
    check_limits(data, source)
    return Document(data, source)


def _syntax(message: str, source: str) -> tuple[str, str]:
    found = _PLACE.search(message)
    place = f"{source}:{found[1]}:{found[2]}" if found and found[1] else source
    reason = message[: found.start()] if found else message
    if reason == "Cannot overwrite a value":
        reason = "a key is given twice; remove one"
    return place, lower_first(reason)


def write_toml(config: BaseModel, data: Mapping[str, Any]) -> str:
    """Return a config's plain data as TOML, without fields that are None by default.

    Raises:
        ConfigError: A value is None and not by default; the message has its path.
    """
    return tomli_w.dumps(cast("dict[str, Any]", _without_none(config, data, ())))


def _without_none(value: Any, data: Any, path: Keys) -> Any:
    """Return `data`, the plain form of `value`, without fields that are None by default."""
    if isinstance(data, Mapping):
        named = cast("Mapping[str, Any]", data)
        return {
            key: _without_none(part_of(value, key), part, (*path, key))
            for key, part in named.items()
            if not (part is None and _is_none_by_default(value, key))
        }
    if isinstance(data, list):
        listed = enumerate(cast("list[Any]", data))
        return [_without_none(part_of(value, at), part, (*path, at)) for at, part in listed]
    if data is None:
        advice = "write YAML or JSON, or give it a value"
        fail("", f"{dotted(path)}: is None, which TOML cannot say; {advice}")
    return data


def _is_none_by_default(value: Any, key: str) -> bool:
    field = type(value).model_fields.get(key) if isinstance(value, BaseModel) else None
    return field is not None and not field.is_required() and default_of(field) is None
