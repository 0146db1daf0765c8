"""Configs whose fields are the arguments of a constructor."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, cast

from nshtrainer.config.named import NamedConfig
from nshtrainer.exceptions import ConfigError
from nshtrainer.types import FrozenDict

__all__ = ["ConstructedConfig"]


class ConstructedConfig(NamedConfig):
    """Config with the arguments of a constructor as fields; `target` names the class.

    >>> from typing import Literal
    >>> class DequeConfig(ConstructedConfig):
    ...     target = "collections:deque"
    ...     name: Literal["deque"] = "deque"
    ...     maxlen: int | None = None
    >>> DequeConfig(maxlen=3).build()
    deque([], maxlen=3)
    """

    target: ClassVar[str]
    """Class as `"module:Class"`; imported when an object is built."""

    package: ClassVar[str] = ""
    """Package that the class needs, and the extra that installs it; empty if there is none."""

    renamed: ClassVar[Mapping[str, str]] = {}
    """Arguments of the constructor whose fields have other names, by field."""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the constructor, with mappings that it may change."""
        fields = {name: value for name, value in dict(self).items() if name != "name"}
        return {self.renamed.get(name, name): _changeable(fields[name]) for name in fields}

    def build(self, **given: Any) -> Any:
        """Build the object.

        Args:
            **given: Arguments that replace those of the config.

        Raises:
            ConfigError: The package that the class needs is not installed.
        """
        if self.package and find_spec(self.package) is None:
            raise ConfigError(
                f"{self.name}: the package {self.package} is not installed; install it with: "
                f"pip install 'nshtrainer[{self.package}]'"
            )
        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)(**{**self.arguments(), **given})


def _changeable(value: Any) -> Any:
    return dict(cast("FrozenDict[Any, Any]", value)) if isinstance(value, FrozenDict) else value
