"""Config of the `data` section: the arguments of a datamodule's constructor."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import Parameter
from pathlib import Path
from typing import Any, cast

from pydantic import ConfigDict, Field, PydanticSchemaGenerationError, TypeAdapter, create_model

from nshtrainer.config import Config
from nshtrainer.config.field_types import hints_of_constructor

__all__ = ["DataClass", "data_class"]

_PLAIN = (type(None), bool, int, float, str, Path, Config)


@dataclass(frozen=True)
class DataClass:
    """A datamodule's class, and the config class of the `data` section.

    Args:
        cls: The `LightningDataModule`.
        config_cls: The class of the `data` section.
        argument: The argument that takes the whole config; empty if each field is an argument.
        names: The arguments of fields with another name.
    """

    cls: type
    config_cls: type[Config]
    argument: str = ""
    names: Mapping[str, str] = field(default_factory=dict[str, str])

    def build(self, config: Config) -> Any:
        """Build the datamodule from these values."""
        if self.argument:
            return self.cls(**{self.argument: config})
        extra = cast("Mapping[str, Any]", config.model_extra or {})
        fields = {name: getattr(config, name) for name in type(config).model_fields}
        return self.cls(**{self.names.get(k, k): v for k, v in (fields | dict(extra)).items()})


def data_class(cls: type, path: Path) -> DataClass:
    """Derive the `data` config from a datamodule's constructor.

    A constructor whose only argument is a `Config` gets the whole section; otherwise each argument
    is a key. An argument whose default is code, such as a function, is not a key.

    Args:
        cls: The datamodule's class.
        path: The file that defines the class, for messages.
    """
    parameters = list(inspect.signature(cls).parameters.values())
    hints = hints_of_constructor(cls, include_extras=True)
    first = hints.get(parameters[0].name) if len(parameters) == 1 else None
    if isinstance(first, type) and issubclass(first, Config):
        return DataClass(cls, first, argument=parameters[0].name)
    open_ended = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters)
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    for parameter in filter(_is_key, parameters):
        name = _field_name(parameter.name)
        names[name] = parameter.name
        fields[name] = (_type_of(hints.get(parameter.name)), _field(parameter, name))
    settings = ConfigDict(extra="allow" if open_ended else "forbid")
    base = type(cls.__name__, (Config,), {"model_config": settings, "__module__": str(path)})
    return DataClass(cls, create_model(cls.__name__, __base__=base, **fields), names=names)


def _is_key(parameter: Parameter) -> bool:
    named = parameter.kind in {Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY}
    return named and (parameter.default is Parameter.empty or _is_plain(parameter.default))


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, cast("list[Any]", value)))
    if isinstance(value, dict):
        return all(map(_is_plain, cast("dict[Any, Any]", value).values()))
    return isinstance(value, _PLAIN)


def _field_name(name: str) -> str:
    """Return a valid pydantic name: no leading underscore, no method of `Config`."""
    return f"{name.lstrip('_')}_" if name.startswith("_") or hasattr(Config, name) else name


def _field(parameter: Parameter, name: str) -> Any:
    alias = None if name == parameter.name else parameter.name
    default = ... if parameter.default is Parameter.empty else parameter.default
    # The constructor's default is not validated, even if it contradicts the annotation.
    return Field(default=default, alias=alias, validate_default=False)


def _type_of(hint: Any) -> Any:
    """Return the annotation, if pydantic can check it."""
    try:
        TypeAdapter(hint)
    except PydanticSchemaGenerationError:
        return Any
    return Any if hint is None else hint
