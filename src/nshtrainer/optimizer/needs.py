"""What an optimizer asks of the loop that steps it, known from the config that built it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["Needs", "declare", "needs_of", "parts_of"]


class Needs(NamedTuple):
    """What it asks: whether `step` gets a closure, and whether the loss keeps its graph."""

    closure: bool = False
    second_backward: bool = False


_declared: WeakKeyDictionary[Any, Needs] = WeakKeyDictionary()


def declare(optimizer: Optimizer, *, closure: bool = False, second_backward: bool = False) -> None:
    """Say what an optimizer asks, in addition to what was said before."""
    known = _declared.get(optimizer, Needs())
    _declared[optimizer] = Needs(known.closure or closure, known.second_backward or second_backward)


def needs_of(optimizer: Optimizer) -> Needs:
    """What an optimizer, or a part of it, asks; nothing where no config of ours built it."""
    each = [_declared.get(part, Needs()) for part in (optimizer, *parts_of(optimizer))]
    return Needs(any(one.closure for one in each), any(one.second_backward for one in each))


def parts_of(optimizer: Any) -> Iterator[Any]:
    """The optimizers that one is made of; itself where it is not."""
    yield from getattr(optimizer, "routes", {"": optimizer}).values()
