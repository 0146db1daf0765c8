"""Walks over configs and plain data: their parts, and the configs of one kind in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast

from pydantic import BaseModel

__all__ = ["find_configs", "find_fields", "leaves_of", "nested_parts", "parts_of"]

T = TypeVar("T")

_SCALARS = frozenset({bool, float, int, str, type(None)})
"""Types of most values in a file; abstract-class checks take three times as long as the rest."""


def parts_of(value: Any) -> list[tuple[Any, Any]]:
    """Return the keys and parts of a config, a mapping or a list; an empty list for other values.

    >>> parts_of({"lr": 0.1}), parts_of([1, 2]), parts_of({1, 2})
    ([('lr', 0.1)], [(0, 1), (1, 2)], [])
    """
    if type(value) in _SCALARS:
        return []
    if isinstance(value, Mapping):
        return [*cast("Mapping[Any, Any]", value).items()]
    if isinstance(value, (list, tuple)):
        return [*enumerate(cast("list[Any]", value))]
    if isinstance(value, BaseModel):
        fields = type(value).model_fields.items()
        parts = [(field.alias or name, getattr(value, name)) for name, field in fields]
        return [*parts, *(value.model_extra or {}).items()]
    return []


def nested_parts(value: Any) -> dict[Any, Any] | None:
    """Return the parts of plain data that are compared one by one; a list of scalars is one value.

    >>> nested_parts([{"lr": 1}, None]), nested_parts([0.9, 0.99])
    ({0: {'lr': 1}, 1: None}, None)
    """
    parts = dict(parts_of(value))
    is_open = isinstance(value, list) and any(isinstance(part, Mapping) for part in parts.values())
    return parts if is_open or isinstance(value, Mapping) else None


def leaves_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield the leaf values of plain data with their paths; a list of values is one leaf.

    >>> dict(leaves_of({"optimizer": {"lr": 0.1, "betas": [0.9, 0.99]}}))
    {('optimizer', 'lr'): 0.1, ('optimizer', 'betas'): [0.9, 0.99]}
    """
    parts = nested_parts(value)
    if not parts:
        yield path, value
        return
    for key, part in parts.items():
        yield from leaves_of(part, (*path, key))


def find_configs(
    value: Any, kind: type[T], *, closed: tuple[type, ...] = (), path: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], T]]:
    """Yield the configs of a kind within a value, with their paths.

    Args:
        value: A config, or a mapping or list with configs.
        kind: The class to find; the search does not enter a config that matches.
        closed: Classes that the search does not enter.
        path: The path of the value.
    """
    if isinstance(value, kind):
        yield path, value
    elif not isinstance(value, closed):
        for key, part in parts_of(value):
            yield from find_configs(part, kind, closed=closed, path=(*path, key))


def find_fields(config: Any, kind: type[T]) -> dict[str, T]:
    """Return the values of a kind in a config's fields, by field name."""
    fields = dict(config) if isinstance(config, BaseModel) else {}
    return {name: value for name, value in fields.items() if isinstance(value, kind)}
