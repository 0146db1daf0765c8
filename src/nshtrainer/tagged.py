"""A config with a `name` that says which of several classes it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import SerializationInfo, SerializerFunctionWrapHandler, model_serializer

from nshtrainer.config import Config

__all__ = ["Tagged"]


class Tagged(Config):
    """A config that always dumps its `name`, also under `exclude_defaults` and `exclude_unset`.

    Without the name nothing could be read back. A subclass says `name: Literal["x"] = "x"`.
    """

    if TYPE_CHECKING:
        # A `str` here would make type checkers reject every `Literal` override.
        name: Any

    @model_serializer(mode="wrap")
    def _keep_name(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        dumped = handler(self)
        if "name" in dumped or "name" in (info.exclude or ()):
            return dumped
        return {"name": self.name, **dumped}
