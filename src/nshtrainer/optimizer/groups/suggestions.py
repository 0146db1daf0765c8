"""Suggestions of parameter names for selections that match nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from nshtrainer.config.messages import find_similar, join_quoted

if TYPE_CHECKING:
    from nshtrainer.optimizer.groups.parameters import Parameter
    from nshtrainer.optimizer.groups.selectors import Selection

__all__ = ["nearest"]


def nearest(selection: Selection, parameters: Sequence[Parameter]) -> str:
    """Return the names in a model most similar to a selection without matches, for a message."""
    names = [name for parameter in parameters for name in parameter.names]
    types = {name for parameter in parameters for p in parameter.places for name in p.types}
    known = dict.fromkeys([*(path for name in names for path in _paths(name)), *types])
    near = [
        match
        for text in _texts(selection)
        for match in find_similar(text.strip("*."), known, limit=3)
    ]
    if near:
        return f"the nearest are {join_quoted(dict.fromkeys(near))}"
    # Nothing is similar: the roles help with a selection by role.
    roles = sorted({role for parameter in parameters for role in parameter.roles})
    return f"the model has {join_quoted(names)}, with the roles {', '.join(roles) or 'unknown'}"


def _paths(name: str) -> Iterator[str]:
    """Yield a name, and the names of the modules around it."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _texts(selection: Any) -> Iterator[str]:
    """Yield the patterns and class names in a selection."""
    if isinstance(selection, str):
        yield selection.removeprefix("re:")
    elif isinstance(selection, tuple):
        for one in cast("tuple[Any, ...]", selection):
            yield from _texts(one)
    elif selection is not None:
        for field in ("name", "module", "any_of", "all_of"):
            yield from _texts(getattr(selection, field))
