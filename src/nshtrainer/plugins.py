"""Components that other installed packages announce by entry points."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nshtrainer.exceptions import RegistryError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["announced", "find_plugin", "loading"]


def announced(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group, by name; none of them is imported."""
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=group)}


def find_plugin(kind: str, group: str, name: str) -> EntryPoint | None:
    """Return the entry point of a name, or None.

    Raises:
        RegistryError: Several packages announce the name.
    """
    from importlib.metadata import entry_points

    entries = list(entry_points(group=group, name=name))
    if len(entries) > 1:
        raise RegistryError(
            f"{kind} {name!r} is announced by {' and by '.join(map(_package, entries))}. "
            "Uninstall all but one of them."
        )
    return entries[0] if entries else None


@contextmanager
def loading(kind: str, entry: EntryPoint) -> Generator[None]:
    """Turn whatever a plug-in raises while it is loaded into a `RegistryError`."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plug-in that calls `sys.exit` does not end the program
        raise RegistryError(
            f"{kind} {entry.name!r} is a plug-in ({entry.value}) that failed to load: {error!r}"
        ) from error


def _package(entry: EntryPoint) -> str:
    dist = entry.dist
    return f"{dist.name} {dist.version} ({entry.value})" if dist else entry.value
