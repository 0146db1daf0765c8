"""Read the configs among the arguments of `create` and `explain`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from nshtrainer.config.named import NamedConfig
from nshtrainer.exceptions import ArgumentError
from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.optimizer.base import optimizer_registry

if TYPE_CHECKING:
    from nshtrainer.config.registry import Registry

__all__ = ["kind_of", "read_config"]

_T = TypeVar("_T", bound=NamedConfig)

_KINDS = {"optimizer": "an optimizer", "lr_scheduler": "a schedule"}
_REMEDIES = {
    "optimizer": "give a config or a name, such as AdamWConfig(lr=1e-3) or 'adamw'",
    "lr_scheduler": "give a config or a name, such as CosineScheduleConfig() or 'cosine', or None "
    "for none",
}


def read_config(registry: Registry[_T], value: Any, order: str) -> _T:
    """Return a config as it is, and read a name or a mapping.

    Args:
        registry: The registry of its kind.
        value: The config, its name, or a mapping with the name.
        order: The call with its arguments in order, for messages.

    Raises:
        ArgumentError: The value is of another kind, or swapped with another argument.
        ConfigError: A name or a mapping describes no valid config.
    """
    if isinstance(value, registry.base):
        return value
    if isinstance(value, (str, Mapping)):
        name = value if isinstance(value, str) else cast("Any", value).get("name")
        _check_kind(registry, name, order)
        return registry.read(cast("str | Mapping[str, Any]", value))
    remedy = f"{_REMEDIES[registry.kind]}; write {order}"
    if isinstance(value, type) and issubclass(value, registry.base):
        remedy = f"write {value.__name__}(...)"
    elif getattr(cast("Any", value), "param_groups", None):
        remedy += "; an optimizer that is built already goes to scheduler_config.create_scheduler"
    caller = order.partition("(")[0]
    raise ArgumentError(f"{caller}: the {registry.kind} config is {kind_of(value)}; {remedy}")


def _check_kind(registry: Registry[Any], name: Any, order: str) -> None:
    """Refuse the name of a schedule for the optimizer, and the reverse."""
    is_optimizer = registry.kind == "optimizer"
    other: Registry[Any] = lr_scheduler_registry if is_optimizer else optimizer_registry
    if isinstance(name, str) and other.find(name, plugins=False) and registry.find(name) is None:
        caller = order.partition("(")[0]
        raise ArgumentError(f"{caller}: {name!r} is {_KINDS[other.kind]}; write {order}")


def kind_of(value: Any) -> str:
    """Return the kind of a wrong argument, for a message."""
    if value is None or isinstance(value, type):
        return "None" if value is None else f"the class {value.__name__}"
    return f"an object of {type(value).__name__}"
