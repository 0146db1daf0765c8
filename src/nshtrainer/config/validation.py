"""Changes to pydantic's validation: numbers are strict, OmegaConf's containers are plain data.

A boolean is not a number, and the text `"0.1"` is not one either; but a list may stand for a
tuple, and a string for a path or a member of an enum. pydantic's own `strict=True` takes both
kinds together, so the schema is edited once, when a class is made. Validation stays in Rust.

pydantic and the registries read a `DictConfig`, which Hydra gives to a program, as the mapping that
it is. What takes an object as it is, `Any` and `Sequence`, learns it in the same walk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast, get_origin

from pydantic_core import core_schema

__all__ = ["plain_containers", "with_strict_numbers"]

_NUMBERS = frozenset({"bool", "float", "int"})

_INNER = (
    "schema",
    "items_schema",
    "values_schema",
    "extras_schema",
    "choices",
    "fields",
    "steps",
    "lax_schema",
    "strict_schema",
    "json_schema",
    "python_schema",
)
"""The keys under which a schema holds others. Not `keys_schema`: keys of JSON are always text."""


def with_strict_numbers(schema: Any, model: type) -> Any:
    """Returns the core schema of `model` in which the numbers of its own fields are strict.

    Other models, dataclasses and references inside are left as they are: they decide for
    themselves. A field that says `strict=False` keeps it. What does not change is not copied.

    Args:
        schema: What pydantic's handler made of `model`.
        model: The class whose fields are meant.
    """
    if isinstance(schema, list):
        return _edited_items(cast("list[Any]", schema), model)
    if isinstance(schema, tuple):  # a choice of a union, and its label
        return tuple(_edited_items(list(cast("tuple[Any, ...]", schema)), model))
    if isinstance(schema, dict):
        return _edited_schema(cast("dict[Any, Any]", schema), model)
    return schema


def _edited_schema(schema: dict[Any, Any], model: type) -> Any:
    kind = schema.get("type")
    if not isinstance(kind, str):  # fields by their name, or choices by their tag
        return _edited(schema, schema, model)
    if kind in _NUMBERS:
        return schema if "strict" in schema else {**schema, "strict": True}
    if _takes_containers(schema):
        taken = cast("core_schema.CoreSchema", schema)
        return core_schema.no_info_after_validator_function(plain_containers, taken)
    if kind in ("model", "dataclass") and schema.get("cls") is not model:
        return schema
    return _edited(schema, _INNER, model)


def _takes_containers(schema: dict[Any, Any]) -> bool:
    """Whether a container of OmegaConf would go through as it is."""
    kinds = schema.get("cls"), get_origin(schema.get("cls"))  # `typing` has a `Sequence` of its own
    return schema["type"] == "any" or (schema["type"] == "is-instance" and Sequence in kinds)


def _edited_items(schemas: list[Any], model: type) -> list[Any]:
    edited = [with_strict_numbers(schema, model) for schema in schemas]
    changed = any(new is not old for new, old in zip(edited, schemas, strict=True))
    return edited if changed else schemas


def _edited(schema: dict[Any, Any], keys: Iterable[Any], model: type) -> dict[Any, Any]:
    edited = {key: with_strict_numbers(schema[key], model) for key in keys if key in schema}
    changes = {key: new for key, new in edited.items() if new is not schema[key]}
    return {**schema, **changes} if changes else schema


def plain_containers(value: Any) -> Any:
    """Dicts and lists for a `DictConfig` or `ListConfig`, resolved; any other value as it is.

    OmegaConf is not imported for it: a value of another package costs a look at the name of its
    type.

    Raises:
        ValueError: An interpolation that leads nowhere, or a value that is `???`; with its key.

    >>> from omegaconf import OmegaConf
    >>> plain_containers(OmegaConf.create({"base": 0.1, "lr": "${base}", "betas": [0.9, 0.99]}))
    {'base': 0.1, 'lr': 0.1, 'betas': [0.9, 0.99]}
    >>> plain_containers(OmegaConf.create({"optimizer": {"lr": "???"}}))
    Traceback (most recent call last):
    ValueError: optimizer.lr: is missing ('???'); give it a value
    """
    if not type(value).__module__.startswith("omegaconf."):
        return value
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        return OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise ValueError(f"{error.full_key}: is missing ('???'); give it a value") from error
    except OmegaConfBaseException as error:
        raise ValueError(f"{error.full_key}: {str(error).partition(chr(10))[0]}") from error
