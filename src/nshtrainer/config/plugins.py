"""Plug-ins: components that other installed packages announce by entry points."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nshtrainer.exceptions import RegistryError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["announced", "conflicts", "find_plugin", "loading"]


def announced(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group, by name, without importing them."""
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=group)}


def find_plugin(kind: str, group: str, name: str) -> EntryPoint | None:
    """Return the entry point with a name, or None.

    Raises:
        RegistryError: Several packages announce the name.
    """
    from importlib.metadata import entry_points

    entries = list(entry_points(group=group, name=name))
    if len(entries) > 1:
        raise RegistryError(_announced_twice(kind, name, entries))
    return entries[0] if entries else None


def conflicts(kind: str, group: str, built_in: Mapping[str, str]) -> dict[str, str]:
    """Return a message for each announced name that another package has too, by name.

    Args:
        kind: The kind of component, for the message.
        group: The group of entry points.
        built_in: The classes of this package, by name; a plug-in with such a name is never loaded.
    """
    from importlib.metadata import entry_points

    by_name: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=group):
        by_name.setdefault(entry.name, []).append(entry)
    found: dict[str, str] = {}
    for name, entries in sorted(by_name.items()):
        if name in built_in:
            found[name] = (
                f"{kind} {name!r} is {built_in[name]}, and the one that {_packages(entries)} "
                "announces is not used. Give the plug-in another name, or uninstall it."
            )
        elif len(entries) > 1:
            found[name] = _announced_twice(kind, name, entries)
    return found


def _announced_twice(kind: str, name: str, entries: list[EntryPoint]) -> str:
    packages = _packages(entries)
    return f"{kind} {name!r} is announced by {packages}. Uninstall all but one of them."


@contextmanager
def loading(kind: str, entry: EntryPoint) -> Generator[None]:
    """Turn any exception from loading a plug-in into a `RegistryError`."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plug-in that calls `sys.exit` does not end the program
        raise RegistryError(
            f"{kind} {entry.name!r} is a plug-in ({entry.value}) that failed to load: {error!r}"
        ) from error


def _packages(entries: list[EntryPoint]) -> str:
    return " and by ".join(map(_package, entries))


def _package(entry: EntryPoint) -> str:
    dist = entry.dist
    return f"{dist.name} {dist.version} ({entry.value})" if dist else entry.value
