"""Text for the JSON Schema of one field: its type and its range."""

from __future__ import annotations

import json
from typing import Any, cast

from nshtrainer.types import GREATEST

__all__ = ["range_text", "type_text"]

_WORDS = {"string": "text", "boolean": "true | false", "object": "mapping"}
Schema = dict[str, Any]


def type_text(part: Schema, root: Schema) -> str:
    """Describe the type of a field.

    >>> type_text({"anyOf": [{"type": "number"}, {"type": "null"}]}, {})
    'number | null'
    >>> type_text({"type": "array", "prefixItems": [{"type": "integer"}] * 2}, {})
    '[integer, integer]'
    """
    if "$ref" in part:
        return _component(part["$ref"], root)
    if "const" in part or "enum" in part:
        return " | ".join(json.dumps(value) for value in part.get("enum", [part.get("const")]))
    members = part.get("anyOf") or part.get("oneOf")
    if members:
        return " | ".join(dict.fromkeys(type_text(member, root) for member in members))
    if part.get("type") == "array":
        return _list_text(part, root)
    kind = str(part.get("type", "anything"))
    return _WORDS.get(kind, kind)


def _list_text(part: Schema, root: Schema) -> str:
    if "prefixItems" in part:
        return f"[{', '.join(type_text(item, root) for item in part['prefixItems'])}]"
    return f"[{type_text(part.get('items', {}), root)}, ...]"


def _component(ref: str, root: Schema) -> str:
    """Return the name of a class; a component is named by its registry."""
    name = ref.rpartition("/")[2]
    target = root.get("$defs", {}).get(name, {})
    if "enum" in target or "const" in target:
        return type_text(target, root)
    return str(target.get("title", name.rpartition(".")[2]))


def range_text(part: Schema) -> str:
    """Describe the bounds of a number or of the numbers in a list, without common bounds.

    >>> range_text({"type": "number", "minimum": 0, "exclusiveMaximum": 1})
    '>= 0, < 1'
    >>> range_text({"type": "integer", "maximum": 4294967295})
    '<= 4294967295'
    """
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    known = {sign: part[key] for key, sign in signs.items() if key in part}
    known = {sign: bound for sign, bound in known.items() if abs(bound) < GREATEST}
    # A whole number has all its digits.
    bounds = [f"{sign} {at if isinstance(at, int) else f'{at:g}'}" for sign, at in known.items()]
    if bounds:
        return ", ".join(bounds)
    inner = [*part.get("anyOf", ()), *part.get("prefixItems", ())]
    items = part.get("items")
    inner += [cast("Schema", items)] if isinstance(items, dict) else []
    found = dict.fromkeys(range_text(cast("Schema", each)) for each in inner)
    return " or ".join(text for text in found if text)
