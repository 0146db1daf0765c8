"""Walks through a JSON Schema, and its text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

__all__ = ["DEFS", "Schema", "dumps", "map_parts", "schema_text"]

Schema = dict[str, Any]

DEFS = "#/$defs/"
"""The beginning of a reference to a definition."""

_ONE = {"additionalProperties", "else", "if", "items", "not", "then"}
_MANY = {"allOf", "anyOf", "oneOf", "prefixItems"}
_NAMED = {"$defs", "patternProperties", "properties"}


def map_parts(schema: Schema, change: Callable[[Schema, str], Any]) -> Schema:
    """Return a schema with each schema directly inside changed.

    Args:
        schema: The schema.
        change: Called with each part, and its key in `properties` or `$defs`, or else the keyword.

    >>> map_parts({"properties": {"lr": {"type": "number"}}}, lambda part, key: [part, key])
    {'properties': {'lr': [{'type': 'number'}, 'lr']}}
    """
    found: Schema = {}
    for key, value in schema.items():
        if key in _NAMED:
            found[key] = {name: _changed(part, name, change) for name, part in value.items()}
        elif key in _MANY:
            found[key] = [_changed(part, key, change) for part in value]
        else:
            found[key] = _changed(value, key, change) if key in _ONE else value
    return found


def _changed(part: Any, key: str, change: Callable[[Schema, str], Any]) -> Any:
    return change(cast("Schema", part), key) if isinstance(part, dict) else part


def dumps(value: Any) -> str:
    """Return JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def schema_text(schema: Schema) -> str:
    """Return a schema as JSON without spaces, with one line for each definition.

    >>> print(schema_text({"type": "object", "$defs": {"Lr": {"type": "number"}}}), end="")
    {"type":"object","$defs":{
    "Lr":{"type":"number"}
    }}
    """
    rest = {key: value for key, value in schema.items() if key != "$defs"}
    lines = (f"{dumps(name)}:{dumps(part)}" for name, part in schema.get("$defs", {}).items())
    return dumps({**rest, "$defs": {}})[:-2] + "\n" + ",\n".join(lines) + "\n}}\n"
