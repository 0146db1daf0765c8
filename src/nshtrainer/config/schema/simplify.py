"""Drop what helps no editor from pydantic's JSON Schema, and join plain types."""

from __future__ import annotations

from typing import Any

from nshtrainer.config.schema.walk import Schema, map_parts

__all__ = ["simplify"]

_PLAIN = {"array", "boolean", "integer", "null", "number", "string"}


def simplify(schema: Schema) -> Schema:
    """Return a schema that accepts the same values.

    Titles that repeat a key, defaults that are empty or a mapping, and all but the first paragraph
    of the docstring of a class are dropped.

    >>> simplify({"anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}], "default": None})
    {'type': ['number', 'null'], 'minimum': 0}
    """
    classes = {name: _class(part) for name, part in schema.get("$defs", {}).items()}
    root = _class({key: part for key, part in schema.items() if key != "$defs"})
    return {**root, "$defs": classes} if classes else root


def _class(part: Schema) -> Schema:
    title = {"title": part["title"]} if "title" in part else {}
    found = {**title, **_part(part)}
    if "description" in found:
        found["description"] = " ".join(found["description"].partition("\n\n")[0].split())
    return found


def _part(part: Schema, _key: str = "") -> Schema:
    found = map_parts(part, _part)
    dropped = {"title"}
    if isinstance(found.get("default"), dict) or found.get("default") in (None, []):
        dropped.add("default")
    if "const" in found or "enum" in found:
        dropped.add("type")
    if "const" in found:
        dropped.add("default")
    found = {key: _number(value) for key, value in found.items() if key not in dropped}
    if len(found.get("allOf", ())) == 1:
        found |= found.pop("allOf")[0]
    return found | _joined(found.pop("anyOf")) if "anyOf" in found else found


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _joined(members: list[Schema]) -> Schema:
    """Join the plain types of a union into one list of types, for one message.

    A text with a pattern comes first: of members that fit equally badly, editors blame the first.
    """
    plain = [each for each in members if each.get("type") in _PLAIN]
    rest = [each for each in members if each not in plain]
    types = [each["type"] for each in plain]
    keys = [key for each in plain for key in each if key != "type"]
    # A bound of an integer would also bound a number.
    if len(keys) == len({*keys}) and not {"integer", "number"} <= {*types} and len(types) > 1:
        joined = {key: value for each in plain for key, value in each.items()}
        members = [{**joined, "type": types}, *rest]
    if len(members) == 1:
        return members[0]
    return {"anyOf": sorted(members, key=lambda each: "pattern" not in each)}
