"""Index of components in modules that are not imported yet: name, class and first line."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from inspect import getfile
from typing import Any, NamedTuple

from nshtrainer.config.docstrings import class_docs

__all__ = ["IndexEntry", "read_index", "same_source", "summary_of"]


class IndexEntry(NamedTuple):
    """A class in the index."""

    module: str
    cls: str
    summary: str

    def __str__(self) -> str:
        return f"{self.module}.{self.cls}"

    def is_it(self, cls: type) -> bool:
        """Return True if this entry stands for the class."""
        return (cls.__module__, cls.__name__) == (self.module, self.cls)

    def load(self) -> type[Any]:
        """Import the module and return the class."""
        return getattr(import_module(self.module), self.cls)


def read_index(module: str | None) -> dict[str, IndexEntry]:
    """Return the members in a module's `INDEX`, by name; an empty dict for None."""
    if module is None:
        return {}
    index: Mapping[str, Mapping[str, tuple[str, str]]] = import_module(module).INDEX
    return {
        name: IndexEntry(home, cls, summary)
        for home, members in index.items()
        for name, (cls, summary) in members.items()
    }


def summary_of(cls: type) -> tuple[str, str]:
    """Return the name of a class and the first line of its docstring, as in an index."""
    return cls.__name__, class_docs(cls).partition("\n")[0]


def same_source(old: type | IndexEntry, new: type) -> bool:
    """Return True if a class was defined again: in a notebook, by a reload, or as `__main__`."""
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
