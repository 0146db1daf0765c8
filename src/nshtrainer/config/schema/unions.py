"""Unions of classes that are chosen by a name: one condition for each name."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from nshtrainer.config.schema.walk import DEFS, Schema, map_parts

__all__ = ["NAME_ALONE", "name_unions"]

NAME_ALONE = "x-name-alone"
"""Key of a union that accepts a name in place of a mapping with nothing but this name."""


def name_unions(schema: Schema) -> Schema:
    """Return a schema whose unions of named classes have an `if` for each name.

    An editor then knows the class from its name, and completes and checks its fields alone. A
    class that only its union refers to is written there.
    """
    unions = _Unions(schema)
    found = map_parts(schema, unions.rewrite)
    if "$defs" in found:
        found["$defs"] = {k: v for k, v in found["$defs"].items() if DEFS + k not in unions.inlined}
    return found


class _Unions:
    """The unions of a schema, and the classes that they refer to."""

    def __init__(self, schema: Schema) -> None:
        self.inlined: set[str] = set()
        self._classes = {DEFS + key: part for key, part in schema.get("$defs", {}).items()}
        self._uses: Counter[str] = Counter()
        map_parts(schema, self._count)

    def _count(self, part: Schema, _key: str) -> Schema:
        self._uses[part.get("$ref", "")] += 1
        return map_parts(part, self._count)

    def rewrite(self, part: Schema, _key: str) -> Schema:
        """Rewrite the unions of a part of the schema, also within classes."""
        part = dict(part)
        if part.pop(NAME_ALONE, False):
            union = {key: part.pop(key) for key in ("oneOf", "discriminator")}
            part["anyOf"] = [{"enum": self._names_alone(union)}, union]
        unions = [each for each in part.get("anyOf", ()) if self._is_by_name(each)]
        others = [each for each in part.get("anyOf", ()) if each not in unions]
        if len(unions) == 1 and all(_is_no_mapping(each) for each in others):
            del part["anyOf"]
            part |= self._mapping_or(unions[0], others)
        elif self._is_by_name(part):
            del part["oneOf"]
            part |= self._by_name(part.pop("discriminator"))
        return map_parts(part, self.rewrite)

    def _is_by_name(self, part: Schema) -> bool:
        """Return True for a union of classes by a text; pydantic also knows numbers and values."""
        union: Schema = part.get("discriminator", {})
        return "discriminator" in part and all(
            name in self._names(ref, union["propertyName"])
            for name, ref in union["mapping"].items()
        )

    def _names(self, ref: Any, key: str) -> list[Any]:
        name: Schema = self._classes[ref]["properties"][key] if isinstance(ref, str) else {}
        return [name["const"]] if "const" in name else name.get("enum", [])

    def _names_alone(self, union: Schema) -> list[str]:
        """Return the names of the classes without a required field."""
        classes = union["discriminator"]["mapping"].items()
        return [n for n, ref in classes if {*self._classes[ref].get("required", ())} <= {"name"}]

    def _mapping_or(self, union: Schema, others: list[Schema]) -> Schema:
        """Return the schema of a named class or another value.

        Any mapping with a known name fits the `anyOf`, which thus adds no message about it.
        """
        named = self._by_name(union["discriminator"])
        mapping = {key: named.pop(key) for key in ("type", "properties")}
        return {"anyOf": [*others, mapping], "if": {"type": "object"}, "then": named}

    def _by_name(self, discriminator: Schema) -> Schema:
        key: str = discriminator["propertyName"]
        names: dict[str, list[str]] = {}
        for name, ref in discriminator["mapping"].items():
            names.setdefault(ref, []).append(name)
        # A pattern, since a server that completes takes the beginning of a const for the whole.
        conditions = [
            {
                "if": {"properties": {key: {"pattern": _exactly(known)}}},
                "then": self._class(ref, key),
            }
            for ref, known in names.items()
        ]
        described = [
            {"const": name, **self._description(ref)}
            for ref, known in names.items()
            for name in known
        ]
        return {
            "type": "object",
            "properties": {key: {"anyOf": described}},
            "required": [key],
            "if": {"properties": {key: {"type": "string"}}, "required": [key]},
            "then": {"allOf": conditions},
        }

    def _description(self, ref: str) -> Schema:
        text = self._classes[ref].get("description")
        return {"description": text} if text else {}

    def _class(self, ref: str, key: str) -> Schema:
        """Return a class, or a reference to it if there are several."""
        if self._uses[ref] > 1:
            return {"$ref": ref}
        self.inlined.add(ref)
        known = ("type", "description")  # from the union, and from its name
        own = {each: part for each, part in self._classes[ref].items() if each not in known}
        return {**own, "properties": {**own["properties"], key: True}}


def _is_no_mapping(part: Schema) -> bool:
    return "const" in part or "enum" in part or "object" not in part.get("type", "object")


def _exactly(names: list[str]) -> str:
    pattern = "|".join(map(re.escape, names))
    return f"^({pattern})$" if len(names) > 1 else f"^{pattern}$"
