"""Configs with a `name` that selects one of several classes."""

from __future__ import annotations

import inspect
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import (
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic_core import CoreSchema
from typing_extensions import override

from nshtrainer.config import Config

__all__ = ["FIRST", "LAST", "NamedConfig", "Order"]


class Order(Enum):
    """Position of a field in a file among the fields of the base classes, marked on its type."""

    FIRST = "first"
    LAST = "last"


FIRST, LAST = Order


class NamedConfig(Config):
    """A config that always dumps its `name`, also under `exclude_defaults` and `exclude_unset`.

    Without the name the config could not be read back. A subclass declares `name: Literal["x"] =
    "x"`. A kind of component that other packages may extend has a registry.
    """

    # Building the validators of dozens of classes, of which a program uses two, would be most of
    # the import time; each is built when it is first used.
    model_config = ConfigDict(defer_build=True)

    if TYPE_CHECKING:
        # A `str` here would make type checkers reject every `Literal` override.
        name: Any

    __registry__: ClassVar[Any] = None

    python_only: ClassVar[bool] = False
    """True if a field accepts instances of the class though no file can name it."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Put the name first in files, then the fields of the class, then those of its bases.

        This is early enough because the validator is built when it is first used.
        """
        super().__pydantic_init_subclass__(**kwargs)
        fields = cls.__pydantic_fields__
        marks = {key: field.metadata for key, field in fields.items()}
        names = [key for key in ("name", *inspect.get_annotations(cls)) if key in fields]
        own = [key for key in names if LAST not in marks[key]]
        first = [key for key in fields if FIRST in marks[key]]
        ordered = {key: fields[key] for key in (*own, *first)} | fields
        fields.clear()
        fields.update(ordered)

    @model_serializer(mode="wrap")
    def _keep_name(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        dumped = handler(self)
        if "name" in dumped or "name" in (info.exclude or ()):
            return dumped
        return {"name": self.name, **dumped}

    @classmethod
    @override
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        registry = cls.__dict__.get("__registry__")
        if registry is not None:
            return handler.generate_schema(Annotated[Any, registry])
        return super().__get_pydantic_core_schema__(source, handler)

    @classmethod
    @override
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        if cls.__dict__.get("__registry__") is not None:
            # pydantic would resolve a bare `$ref` at once, and its definition may not exist yet.
            found = handler(core_schema)
            return {"allOf": [found]} if "$ref" in found else found
        return super().__get_pydantic_json_schema__(core_schema, handler)
