"""Who hears of an update that was left out: a schedule, which then stands still."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary, WeakMethod

__all__ = ["hear_of_left_out", "left_out"]

_listeners: WeakKeyDictionary[Any, list[WeakMethod[Any]]] = WeakKeyDictionary()


def hear_of_left_out(optimizer: Any, listener: WeakMethod[Any]) -> None:
    """Call a method whenever an update of an optimizer is left out, as long as its object lives."""
    _listeners.setdefault(optimizer, []).append(listener)


def left_out(optimizer: Any) -> None:
    """Say that the update of an optimizer that is under way changes nothing."""
    for listener in _listeners.get(optimizer, ()):
        method = listener()
        if method is not None:
            method()
