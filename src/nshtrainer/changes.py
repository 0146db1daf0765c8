"""What has changed between the config in a checkpoint and the one that a run goes on with."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from inspect import currentframe
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from nshtrainer.exceptions import ConfigChangedWarning, ConfigError
from nshtrainer.printable import printable
from nshtrainer.text.problems import dotted

if TYPE_CHECKING:
    from nshtrainer.config import Config

__all__ = ["Change", "all_of", "as_data", "differing", "tell", "tell_of", "with_values"]

Path: TypeAlias = tuple[Any, ...]

_INSIDE = frozenset({"lightning", "nshtrainer", "pytorch_lightning", "torch"})
"""Packages whose calls lead to a state being loaded; a warning names the line before them."""


class Change(NamedTuple):
    """A value that is not what it was.

    Args:
        path: Where it is, such as `("optimizer", "lr")`.
        saved: What the checkpoint has.
        own: What the config has.
        outcome: What becomes of it.
        is_followed: Whether the config is followed.
    """

    path: Path
    saved: Any
    own: Any
    outcome: str = "taken from the checkpoint"
    is_followed: bool = False

    def __str__(self) -> str:
        return f"{self.difference}: {self.outcome}"

    @property
    def difference(self) -> str:
        """The change without what becomes of it: `optimizer.lr 0.1 -> 0.2`."""
        return f"{dotted(self.path)} {_shown(self.saved)} -> {_shown(self.own)}"


# -- comparing -------------------------------------------------------------------------------------


def as_data(config: Config | None) -> dict[str, Any] | None:
    """A config as plain data for a checkpoint; None for none, or where it holds other values."""
    try:
        return None if config is None else config.to_dict()
    except ConfigError:  # the class of a user may hold what has no plain form
        return None


def differing(saved: Any, own: Any, path: Path = ()) -> Iterator[Change]:
    """The values that are not the same in two configs as plain data.

    A duration is one value, and so is a component of another name. A field that only one of two
    components has is passed over: the other was written by another release.

    Args:
        saved: What the checkpoint has.
        own: What the config has.
        path: Where both are.

    >>> saved, own = {"lr": 0.1, "betas": [0.9, 0.99]}, {"lr": 0.2, "betas": [0.9, 0.99]}
    >>> [change.difference for change in differing(saved, own, ("optimizer",))]
    ['optimizer.lr 0.1 -> 0.2']
    """
    one, two = _parts(saved), _parts(own)
    if one is None or two is None or one.get("name") != two.get("name"):
        if saved != own:
            yield Change(path, saved, own)
        return
    keys = dict.fromkeys((*one, *two))
    for key in [key for key in keys if "name" not in one or (key in one and key in two)]:
        yield from differing(one.get(key), two.get(key), (*path, key))


def _parts(value: Any) -> dict[Any, Any] | None:
    """What is compared one by one within a value."""
    if isinstance(value, Mapping):
        found = dict(cast("Mapping[Any, Any]", value))
        return None if _is_duration(found) else found
    items = cast("list[Any]", value) if isinstance(value, list) else []
    if not any(isinstance(item, Mapping) for item in items):
        return None
    return {"name": len(items), **dict(enumerate(items))}


def _is_duration(value: Mapping[Any, Any]) -> bool:
    return set(value) == {"name", "value"}


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        found = cast("Mapping[str, Any]", value)
        return f"{found['value']} {found['name']}" if _is_duration(found) else _name(found)
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, cast('list[Any]', value)))}]"
    return "none" if value is None else printable(value)


def _name(value: Mapping[str, Any]) -> str:
    return printable(value.get("name", dict(value)))


def with_values(data: Mapping[str, Any], values: Iterable[tuple[Path, Any]]) -> dict[str, Any]:
    """The data with other values in some places; the whole, where a path is empty.

    >>> with_values({"lr": 0.1, "groups": [{"lr": 1}]}, [(("groups", 0, "lr"), 2)])
    {'lr': 0.1, 'groups': [{'lr': 2}]}
    """
    changed: Any = dict(data)
    for path, value in values:
        changed = _with_value(changed, path, value)
    return changed


def _with_value(data: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    first, *rest = path
    changed: Any = copy(data)
    changed[first] = _with_value(changed[first] if rest else None, tuple(rest), value)
    return changed


# -- saying ----------------------------------------------------------------------------------------


def all_of(changes: Iterable[Change]) -> str:
    """What the policy `error` says of some changes."""
    named = "; ".join(change.difference for change in changes)
    return (
        f"the config has changed since the checkpoint: {named}; go on with the config that wrote "
        "it, or choose another policy than `error` for resume: keep, extend or override"
    )


def tell(changes: Sequence[Change], *more: str) -> None:
    """Warn of changes, a line for each.

    Args:
        changes: What has changed; nothing is said of none.
        *more: Lines that follow.
    """
    if changes:
        lines = ["the config has changed since the checkpoint:", *map(str, changes), *more]
        tell_of("\n  ".join(lines))


def tell_of(text: str, category: type[Warning] = ConfigChangedWarning) -> None:
    """Warn, at the line of the user's that led here, in the first of the processes of a run."""
    if _is_first_process():
        warnings.warn(text, category, stacklevel=_level_of_user())


def _is_first_process() -> bool:
    distributed: Any = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available():
        return True
    return not distributed.is_initialized() or distributed.get_rank() == 0


def _level_of_user() -> int:
    """How far up the user's own code is, as `warnings.warn` counts in the function that asks."""
    frame, level = currentframe(), 0
    while frame is not None and _package(frame.f_globals) in _INSIDE:
        frame, level = frame.f_back, level + 1
    return level


def _package(scope: Mapping[str, Any]) -> str:
    return str(scope.get("__name__", "")).partition(".")[0]
