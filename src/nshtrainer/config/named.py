"""A config with a `name` that says which of several classes it is."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, SerializationInfo, SerializerFunctionWrapHandler, model_serializer

from nshtrainer.config import Config

__all__ = ["Tagged"]


class Tagged(Config):
    """A config that always dumps its `name`, also under `exclude_defaults` and `exclude_unset`.

    Without the name nothing could be read back. A subclass says `name: Literal["x"] = "x"`.
    """

    # Building the validators of dozens of classes, of which a program uses two, is most of what
    # an import would cost; each is built when it is first used.
    model_config = ConfigDict(defer_build=True)

    if TYPE_CHECKING:
        # A `str` here would make type checkers reject every `Literal` override.
        name: Any

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Put the name first in files, then the fields of the class, then those of its bases.

        It is early enough because the validator is built when it is first used.
        """
        super().__pydantic_init_subclass__(**kwargs)
        fields = cls.__pydantic_fields__
        own = [key for key in ("name", *inspect.get_annotations(cls)) if key in fields]
        ordered = {key: fields[key] for key in own} | fields
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
