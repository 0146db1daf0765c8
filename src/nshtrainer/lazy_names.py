"""Facade modules, whose names are imported from other modules on first use (PEP 562).

A facade is a module with `_MODULES`, the modules whose `__all__` it re-exports, and
`__getattr__, __dir__ = lazy_names(__name__, _MODULES)`. For type checkers a facade imports `*` from
the same modules, and `__getattr__` is hidden from them, so that an unknown name is an error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(
    facade: str, modules: Sequence[str], more: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a facade.

    Args:
        facade: The name of the module.
        modules: The modules that define the names, imported in this order until one has a name.
            A facade in the list is replaced by its own modules.
        more: Names that the facade itself imports, for `__dir__`.
    """

    def find(name: str) -> Any:
        if name == "__all__":  # for `from facade import *`
            return names()
        if not name.startswith("_") and not _is_submodule(facade, name):
            # Schedules are searched first for a schedule's name, and last for other names.
            schedule = "LR" in name or "Schedule" in name
            ordered = sorted(modules, key=lambda module: ("lr_scheduler" in module) is not schedule)
            for module in _flat(ordered):
                if name in module.__all__:
                    value = getattr(module, name)
                    setattr(sys.modules[facade], name, value)
                    return value
        raise AttributeError(f"module {facade!r} has no attribute {name!r}")

    def names() -> list[str]:
        return sorted({*more, *(name for module in _flat(modules) for name in module.__all__)})

    return find, names


def _flat(modules: Iterable[str]) -> Iterator[ModuleType]:
    """Import modules one by one, with a facade replaced by its modules."""
    for name in modules:
        module = import_module(name)
        inner: Sequence[str] | None = getattr(module, "_MODULES", None)
        yield from (module,) if inner is None else _flat(inner)


def _is_submodule(package: str, name: str) -> bool:
    """Return True for a name that the import system finds after `__getattr__` has failed."""
    path: list[str] | None = getattr(sys.modules[package], "__path__", None)
    return path is not None and PathFinder.find_spec(f"{package}.{name}", path) is not None
