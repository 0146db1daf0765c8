"""JSON Schema for editors: small, with messages at the right place and precise completion.

pydantic writes what a validator needs. yaml-language-server, which most editors run, blames the
wrong place where it has to choose between alternatives, and reads every copy of a definition.
"""

from __future__ import annotations

from nshtrainer.config.schema.share import share_parts, share_properties
from nshtrainer.config.schema.simplify import simplify
from nshtrainer.config.schema.unions import NAME_ALONE, name_unions
from nshtrainer.config.schema.walk import Schema, schema_text

__all__ = ["NAME_ALONE", "for_editors", "schema_text", "with_root"]


def for_editors(schema: Schema) -> Schema:
    """Return a schema that accepts the same values as pydantic's.

    Args:
        schema: The result of `model_json_schema()`.
    """
    root = {"$schema": "https://json-schema.org/draft/2020-12/schema", **with_root(schema)}
    return share_parts(name_unions(share_properties(simplify(root))))


def with_root(schema: Schema) -> Schema:
    """Return a schema with the keys of its class at the top, also of a recursive class."""
    if "$ref" not in schema:
        return schema
    own = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    return {**own, **{key: part for key, part in schema.items() if key != "$ref"}}
