"""Keys and values of a run file at a path, from its JSON Schema: no config class is imported."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from nshtrainer.project.run_schema import READY_MADE

__all__ = ["SchemaPaths", "override_candidates", "ready_made_schema"]

Schema = dict[str, Any]

_MAIN = "model"
"""The section whose keys need no prefix."""

_COMMENT = re.compile(r"^#\s*yaml-language-server:\s*\$schema=(\S+)", re.MULTILINE)
_SAFE = re.compile(r"[\w.=+%@,:/ -]+")
_MOST_BYTES = 2**24
_SENTENCE = re.compile(r"(?<=\.)\s")


def override_candidates(file: str, overrides: Iterable[str], start: str) -> dict[str, str]:
    """Return the overrides of a file that begin with some text, each with a description.

    The schema is the one that the file names, or else that of a run file for unknown code. A file
    that cannot be read has no data.

    Args:
        file: The config file; may be empty.
        overrides: Other overrides.
        start: The beginning of the override.
    """
    # Only a key below another depends on the data; reading them takes most of the time.
    data = _data_of(Path(file)) if file and "." in start else {}
    for override in overrides:
        key, _, value = override.partition("=")
        _put(data, key.split("."), value)
    schema = _schema_of(Path(file)) if file else None
    found = SchemaPaths(schema or ready_made_schema(), data).overrides(start)
    # The words get into a command line, and the schema may be a stranger's.
    return {word: text for word, text in found.items() if _SAFE.fullmatch(word)}


def ready_made_schema() -> Schema:
    """Return the schema of a run file for unknown code."""
    return json.loads(READY_MADE.read_text(encoding="utf-8"))


def _data_of(path: Path) -> dict[str, Any]:
    from nshtrainer.config.io import read_document
    from nshtrainer.exceptions import NshtrainerError

    try:
        data = read_document(path).data
    except NshtrainerError:
        return {}
    if not isinstance(data, dict):
        return {}
    return {_MAIN: data} if "optimizer" in data or "lr_scheduler" in data else {**data}


def _schema_of(path: Path) -> Schema | None:
    """Return the schema that the comment in a file names, if it can be read."""
    with suppress(OSError, ValueError, RecursionError):
        named = _COMMENT.search(_text_of(path))
        found = json.loads(_text_of(path.parent / named[1])) if named else None
        return cast("Schema", found) if isinstance(found, dict) else None
    return None


def _text_of(path: Path) -> str:
    """Return the text of a file; empty for a device, a pipe or a huge file."""
    is_usual = path.is_file() and path.stat().st_size <= _MOST_BYTES
    return path.read_text(encoding="utf-8") if is_usual else ""


def _put(data: dict[str, Any], path: list[str], value: str) -> None:
    """Set a value, in the section without a prefix unless the path names one."""
    *parents, last = path if path[0] in {_MAIN, "data", "trainer"} else [_MAIN, *path]
    for key in parents:
        inner: Any = data.get(key)
        data[key] = data = {**inner} if isinstance(inner, dict) else {}
    data[last] = value


class SchemaPaths:
    r"""A schema, with the data that decides which classes are meant.

    >>> shape = {"enum": ["round", "square"], "description": "Form. Of all."}
    >>> paths = SchemaPaths({"properties": {"model": {"properties": {"shape": shape}}}}, {})
    >>> paths.keys([]), paths.values(["shape"])
    ({'model': '', 'shape': 'Form.'}, {'round': '', 'square': ''})

    Args:
        schema: The schema of a run file.
        data: The data of the file, as far as it is known.
    """

    def __init__(self, schema: Schema, data: Mapping[str, Any]) -> None:
        self._schema = schema
        self._defs: dict[str, Schema] = schema.get("$defs", {})
        self._data = data

    def keys(self, path: Sequence[str]) -> dict[str, str]:
        """Return the keys below a path, each with the beginning of its description."""
        found: dict[str, str] = {}
        for part in self._at(path):
            properties: dict[str, Any] = part.get("properties", {})
            # A class lists what it shares as True.
            own = {key: each for key, each in properties.items() if each is not True}
            found |= {key: self._text(each) for key, each in own.items()}
        return found if path or _MAIN not in found else found | self.keys([_MAIN])

    def values(self, path: Sequence[str]) -> dict[str, str]:
        """Return the values that the schema lists for a path, each with a description."""
        found: dict[str, str] = {}
        for part in self._at(path):
            listed = [*part.get("enum", ()), *part.get("examples", ())]
            listed += [part["const"]] if "const" in part else []
            listed += [False, True] if "boolean" in part.get("type", ()) else []
            text = self._text(part) if "const" in part else ""
            found |= {
                str(each).lower() if isinstance(each, bool) else str(each): text for each in listed
            }
        return found

    def components(self) -> dict[str, dict[str, str]]:
        """Return the names of the components of each kind, each with a description."""
        unions = [part for part in self._defs.values() if part.get("if") == {"type": "object"}]
        return {
            part["title"]: SchemaPaths({**part, "$defs": self._defs}, {}).values(["name"])
            for part in unions
            if "title" in part
        }

    def overrides(self, start: str) -> dict[str, str]:
        """Return the overrides that begin with some text, up to the next dot or with a value."""
        key, equals, _ = start.partition("=")
        if equals:
            return {f"{key}={value}": text for value, text in self.values(key.split(".")).items()}
        parent = key.split(".")[:-1]
        found: dict[str, str] = {}
        for name, text in self.keys(parent).items():
            path = [*parent, name]
            ends = ("=", ".") if self.keys(path) else ("=",)
            is_section = len(path) == 1 and name in self._schema.get("properties", {})
            found |= {".".join(path) + end: text for end in (ends[1:] if is_section else ends)}
        return found

    def _at(self, path: Sequence[str]) -> list[Schema]:
        """Return the parts of the schema that apply to the value at a path."""
        sections = self._schema.get("properties", {})
        if path and _MAIN in sections and path[0] not in sections:
            path = [_MAIN, *path]
        value: Any = self._data
        parts = [*self._applied([self._schema], value)]
        for key in path:
            value = _item(value, key)
            parts = [*self._applied(_below(parts, key), value)]
        return parts

    def _applied(self, parts: Iterable[Schema], value: Any) -> Iterator[Schema]:
        """Yield parts of the schema, and those that they refer to under the given value, once."""
        waiting, seen = [*parts], set[int]()
        while waiting:
            part = waiting.pop(0)
            if id(part) in seen:
                continue
            seen.add(id(part))
            yield part
            inside = [each for key in ("allOf", "anyOf", "oneOf") for each in part.get(key, ())]
            if "$ref" in part:
                inside.append(self._defs.get(part["$ref"].rpartition("/")[2], {}))
            if "then" in part and _may_hold(part["if"], value):
                inside.append(part["then"])
            waiting = [*inside, *waiting]

    def _text(self, part: Schema) -> str:
        parts = self._applied([part], None)
        texts = (each.get("description") for each in parts if each is part or "const" not in each)
        text = next((text for text in texts if text), "")
        return _SENTENCE.split(" ".join(text.split()), maxsplit=1)[0]


def _may_hold(condition: Schema, value: Any) -> bool:
    """Return True unless the condition is about another name."""
    pattern = condition.get("properties", {}).get("name", {}).get("pattern")
    name = _item(value, "name") or value
    return pattern is None or (isinstance(name, str) and re.search(pattern, name) is not None)


def _below(parts: Iterable[Schema], key: str) -> Iterator[Schema]:
    for part in parts:
        inside = [part.get("properties", {}).get(key), part.get("additionalProperties")]
        inside += [part.get("items")] if key.isdecimal() else []
        yield from (each for each in inside if isinstance(each, dict))


def _item(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value).get(key)
    if isinstance(value, list) and key.isdecimal():
        return next(iter(cast("list[Any]", value)[int(key) :]), None)
    return None
