"""Changes to pydantic's validation: strict numbers, and OmegaConf containers as plain data.

A boolean is not a number, and neither is the text `"0.1"`; but a list is accepted for a tuple, and
a string for a path or a member of an enum. pydantic's own `strict=True` refuses both kinds, so the
schema is edited once, when a class is created. Validation stays in Rust.

pydantic and the registries read a `DictConfig`, which Hydra passes to a program, as a mapping.
`Any` and `Sequence`, which accept an object unchanged, are edited to convert it first.

A class has a constructor of its own, whose signature is that of its fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from inspect import Parameter, Signature, signature
from types import FunctionType, MappingProxyType
from typing import Any, cast, get_origin

from pydantic_core import core_schema
from typing_extensions import override

__all__ = ["constructor_of", "plain_containers", "with_strict_numbers"]

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
    """Return the core schema of `model` with strict numbers in its own fields.

    Other models, dataclasses and references inside are left unchanged: they decide for
    themselves. A field with `strict=False` keeps it. Unchanged parts are not copied.

    Args:
        schema: The schema that pydantic's handler made for `model`.
        model: The class whose fields become strict.
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
    """Return True if the schema would pass a container of OmegaConf unchanged."""
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
    """Convert a `DictConfig` or `ListConfig` to resolved dicts and lists; keep other values.

    OmegaConf is not imported: for other values only the name of the type's module is checked.

    Raises:
        ValueError: An interpolation leads nowhere, or a value is `???`; the message has its key.

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


def constructor_of(cls: type, base: Any) -> FunctionType:
    """Return the constructor of `base` for a class, with a signature of the fields of the class.

    Libraries such as hydra-zen read the signature of the constructor unless it is pydantic's.
    """
    own = FunctionType(base.__code__, base.__globals__, closure=base.__closure__)
    own.__qualname__ = f"{cls.__qualname__}.__init__"
    own.__dict__.update(base.__dict__, __signature__=_FieldsSignature(cls))
    return own


class _FieldsSignature(Signature):
    """The signature of a constructor, derived from the fields of its class when it is read."""

    def __init__(self, cls: type) -> None:
        own = Parameter("self", Parameter.POSITIONAL_ONLY)
        super().__init__([own, Parameter("data", Parameter.VAR_KEYWORD)])
        self._cls: type | None = cls

    @property
    @override
    def parameters(self) -> MappingProxyType[str, Parameter]:
        cls, self._cls = self._cls, None
        if cls is not None:  # else pydantic reads it, for the signature of the class
            own = super().parameters["self"]
            super().__init__([own, *signature(cls).parameters.values()])
        return super().parameters

    @override
    def replace(self, **changes: Any) -> Signature:
        """Return a plain signature, as for the constructor of an instance, with changes."""
        return Signature([*self.parameters.values()]).replace(**changes)
