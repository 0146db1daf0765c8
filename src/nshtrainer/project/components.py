"""The registries that the command line shows."""

from __future__ import annotations

import sys
from typing import Any

from nshtrainer.config.registry import Registry
from nshtrainer.console import say
from nshtrainer.exceptions import ConfigError

__all__ = ["is_from_torch", "registries", "registry_of", "warn_of_conflicts"]


def registries() -> dict[str, Registry[Any]]:
    """Return the registry of every kind of component."""
    from nshtrainer.callbacks.base import callback_registry
    from nshtrainer.loggers.base import logger_registry
    from nshtrainer.lr_scheduler.base import lr_scheduler_registry
    from nshtrainer.optimizer.base import optimizer_registry

    found: tuple[Registry[Any], ...] = (
        optimizer_registry,
        lr_scheduler_registry,
        logger_registry,
        callback_registry,
    )
    return {each.kind: each for each in found}


def registry_of(kind: str) -> Registry[Any]:
    """Return the registry of a kind, given in the singular or plural.

    Raises:
        ConfigError: The kind is unknown.
    """
    from nshtrainer.config.messages import describe_unknown

    known = registries()
    found = known.get(kind) or known.get(kind.removesuffix("s"))
    if found is None:
        raise ConfigError(describe_unknown("kind of component", kind, known))
    return found


def is_from_torch(cls: type) -> bool:
    """Return True for PyTorch's schedulers under their own names."""
    return cls.__module__.startswith("nshtrainer.lr_scheduler.torch_schedules.")


def warn_of_conflicts() -> None:
    """Print a line for each component name that several installed packages announce."""
    for registry in registries().values():
        for text in registry.conflicts().values():
            say(text, sys.stderr)
