"""`Config`: a frozen, validated value that reads and writes YAML, JSON and TOML."""

from __future__ import annotations

from collections.abc import ItemsView
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema
from typing_extensions import Self

from nshtrainer.strictness import with_strict_numbers

__all__ = ["Config"]


class Config(BaseModel):
    """The base of every config."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        populate_by_name=True,
        ser_json_inf_nan="constants",
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return with_strict_numbers(handler(source), cls)

    def replace(self, **changes: Any) -> Self:
        """Returns a validated copy with some fields changed."""
        return self.model_validate({**dict(self), **changes})

    def items(self) -> ItemsView[str, Any]:
        """The fields and their values; Lightning asks hyperparameters for it."""
        return dict(self).items()
