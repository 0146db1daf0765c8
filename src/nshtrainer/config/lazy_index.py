"""What modules register that are not imported yet: by name, the class and its first line."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from inspect import cleandoc, getfile
from typing import Any, NamedTuple

__all__ = ["IndexEntry", "read_index", "same_source", "summary_of"]


class IndexEntry(NamedTuple):
    """A class in the index."""

    module: str
    cls: str
    summary: str

    def __str__(self) -> str:
        return f"{self.module}.{self.cls}"

    def is_it(self, cls: type) -> bool:
        """Whether a class is the one that is listed."""
        return (cls.__module__, cls.__name__) == (self.module, self.cls)

    def load(self) -> type[Any]:
        """The class; its module is imported."""
        return getattr(import_module(self.module), self.cls)


def read_index(module: str | None) -> dict[str, IndexEntry]:
    """The members that a module's `INDEX` lists, by their names; None stands for an empty one."""
    if module is None:
        return {}
    index: Mapping[str, Mapping[str, tuple[str, str]]] = import_module(module).INDEX
    return {
        name: IndexEntry(home, cls, summary)
        for home, members in index.items()
        for name, (cls, summary) in members.items()
    }


def summary_of(cls: type) -> tuple[str, str]:
    """The name of a class and the first line of its docstring, as an index has them."""
    return cls.__name__, cleandoc(cls.__doc__ or "").partition("\n")[0]


def same_source(old: type | IndexEntry, new: type) -> bool:
    """Whether the same class was defined again: in a notebook, by a reload, as `__main__`."""
    if old is new:
        return True
    if isinstance(old, IndexEntry):
        return False
    if old.__qualname__ != new.__qualname__:
        return False
    return old.__module__ == new.__module__ or _file(old) == _file(new) is not None


def _file(cls: type) -> str | None:
    try:
        return getfile(cls)
    except (TypeError, OSError):
        return None
