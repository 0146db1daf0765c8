"""Unions of classes that are chosen by a name: one condition for each name."""

from __future__ import annotations

import re
from collections import Counter

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
        unions = [each for each in part.get("anyOf", ()) if "discriminator" in each]
        others = [each for each in part.get("anyOf", ()) if each not in unions]
        if len(unions) == 1 and all(_is_no_mapping(each) for each in others):
            del part["anyOf"]
            part |= self._mapping_or(unions[0], others)
        elif "discriminator" in part:
            part |= self._by_name(part.pop("discriminator")["mapping"])
            del part["oneOf"]
        return map_parts(part, self.rewrite)

    def _names_alone(self, union: Schema) -> list[str]:
        """Return the names of the classes without a required field."""
        classes = union["discriminator"]["mapping"].items()
        return [n for n, ref in classes if {*self._classes[ref].get("required", ())} <= {"name"}]

    def _mapping_or(self, union: Schema, others: list[Schema]) -> Schema:
        """Return the schema of a named class or another value.

        Any mapping fits the `anyOf`, which thus has no part in messages about mappings.
        """
        named = self._by_name(union["discriminator"]["mapping"])
        mapping = {key: named.pop(key) for key in ("type", "properties")}
        return {"anyOf": [*others, mapping], "if": {"type": "object"}, "then": named}

    def _by_name(self, classes: dict[str, str]) -> Schema:
        names = {
            ref: [name for name in classes if classes[name] == ref] for ref in classes.values()
        }
        # A pattern, since a server that completes takes the beginning of a const for the whole.
        conditions = [
            {"if": {"properties": {"name": {"pattern": _exactly(names[ref])}}}, "then": part}
            for ref, part in zip(names, map(self._class, names), strict=True)
        ]
        known = [self._name(name, ref) for name, ref in classes.items()]
        return {
            "type": "object",
            "properties": {"name": {"anyOf": known}},
            "required": ["name"],
            "if": {"properties": {"name": {"type": "string"}}, "required": ["name"]},
            "then": {"allOf": conditions},
        }

    def _name(self, name: str, ref: str) -> Schema:
        description = self._classes[ref].get("description")
        return {"const": name, "description": description} if description else {"const": name}

    def _class(self, ref: str) -> Schema:
        """Return a class, or a reference to it if there are several."""
        if self._uses[ref] > 1:
            return {"$ref": ref}
        self.inlined.add(ref)
        known = ("type", "description")  # from the union, and from its name
        own = {key: part for key, part in self._classes[ref].items() if key not in known}
        return {**own, "properties": {**own["properties"], "name": True}}


def _is_no_mapping(part: Schema) -> bool:
    return "const" in part or "enum" in part or "object" not in part.get("type", "object")


def _exactly(names: list[str]) -> str:
    pattern = "|".join(map(re.escape, names))
    return f"^({pattern})$" if len(names) > 1 else f"^{pattern}$"
