"""Lists of names as people say them."""

from __future__ import annotations

from collections.abc import Iterable

from nshtrainer.escaping import printable

__all__ = ["some"]


def some(names: Iterable[str], most: int) -> str:
    """The first of some names, and how many more there are.

    >>> some(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    known = list(map(printable, names))
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more
