"""The names of one model in another: a wrapper around it puts a prefix before all of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from nshtrainer.optimizer.checkpoint.match import Own, Saved

__all__ = ["in_other_words"]

Renaming: TypeAlias = Callable[[str], str]


def in_other_words(
    saved: Sequence[Saved], own: Sequence[Own], known: Collection[str]
) -> list[Saved]:
    """What is saved, under the names of this model where these have another prefix.

    A plain loop knows `0.weight`, and a module that holds the same model as `self.net` knows
    `net.0.weight`. Saved names change only if not one of them is known as it is, if all of them
    together fit with one prefix more or one prefix less, so that each parameter of the optimizer
    finds itself, and if there is one such prefix. Else nothing changes.

    Args:
        saved: The parameters in a saved state.
        own: The parameters that the optimizer trains, as far as they have names.
        known: All names in the model.
    """
    names = [each.name for each in saved if each.name is not None]
    if not names or not known or not own or any(name in known for name in names):
        return list(saved)
    fitting = [
        [rename(name) for name in names]
        for rename in _renamings(names, own)
        if _fits({rename(name) for name in names}, own, known)
    ]
    if len(fitting) != 1:
        return list(saved)
    new = dict(zip(names, fitting[0], strict=True))
    return [one if one.name is None else one._replace(name=new[one.name]) for one in saved]


def _renamings(names: Sequence[str], own: Sequence[Own]) -> Iterator[Renaming]:
    """Every way to put a prefix before the saved names, or to take one from all of them."""
    for prefix in {prefix for name in own[0].names for prefix in _prefixes(name)}:
        yield prefix.__add__
    for prefix in _prefixes(names[0]):
        if all(name.startswith(prefix) for name in names):
            yield partial(_without, prefix)


def _without(prefix: str, name: str) -> str:
    return name.removeprefix(prefix)


def _prefixes(name: str) -> Iterator[str]:
    """`a.` and `a.b.` of `a.b.weight`."""
    parts = name.split(".")
    return (".".join(parts[:end]) + "." for end in range(1, len(parts)))


def _fits(names: Collection[str], own: Sequence[Own], known: Collection[str]) -> bool:
    """Whether the model has all of these names, and each parameter of the optimizer has one."""
    return all(name in known for name in names) and all(
        any(name in names for name in each.names) for each in own
    )
