"""Where a hyperparameter lies in a parameter group of an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from torch import Tensor

from nshtrainer.exceptions import ScheduleError

__all__ = ["HyperparameterRef", "default_of", "find"]

Group = dict[str, Any]


class HyperparameterRef(NamedTuple):
    """A key of a group, and the place in it where a tuple lies there.

    >>> group = {"betas": (0.9, 0.999)}
    >>> place = find(group, "betas.0")
    >>> place.set(group, 0.5)
    >>> str(place), group
    ('betas.0', {'betas': (0.5, 0.999)})
    """

    key: str
    item: int | None = None

    def get(self, group: Mapping[str, Any]) -> Any:
        """What stands there: a number, or a tensor with one."""
        return group[self.key] if self.item is None else group[self.key][self.item]

    def set(self, group: Group, value: float) -> None:
        """Write a number; a tensor is filled in place, as a compiled step needs it.

        Raises:
            ScheduleError: The decay of an average would be outside [0, 1).
        """
        if self.key == "betas" and not 0.0 <= value < 1.0:
            raise ScheduleError(
                f"the schedule sets {self} to {value:g}, which must be in [0, 1); correct its "
                "factor or value"
            )
        standing = self.get(group)
        if isinstance(standing, Tensor):
            standing.fill_(value)
        elif self.item is None:
            group[self.key] = value
        else:
            values = list(group[self.key])
            values[self.item] = value
            group[self.key] = tuple(values)

    def __str__(self) -> str:
        return self.key if self.item is None else f"{self.key}.{self.item}"


def find(group: Mapping[str, Any], name: str) -> HyperparameterRef:
    """The place of a hyperparameter.

    Args:
        group: A parameter group of an optimizer.
        name: A key such as `lr`, or a key and an index such as `betas.0`. `momentum` is `betas.0`
            where there is no other: the momentum of Adam.

    Raises:
        ScheduleError: The group has no number there; the message lists where it has some.
    """
    if _is_number(group.get(name)) and not name.startswith("initial_"):
        return HyperparameterRef(name)
    if name == "momentum" and name not in group:
        name = "betas.0"
    known = dict(_places(group))
    if name not in known:
        raise ScheduleError(
            f"the optimizer has no hyperparameter {name!r} that could be scheduled (it has: "
            f"{', '.join(known)})"
        )
    return known[name]


def default_of(optimizer: Any, group: Mapping[str, Any], place: HyperparameterRef) -> Any:
    """Return the value that a group gets which is added without one; None if there is none.

    Args:
        optimizer: The optimizer; of several behind one, the one that has the group counts.
        group: The parameter group.
        place: The hyperparameter.
    """
    parts = getattr(optimizer, "routes", {"": optimizer}).values()
    for part in parts:
        if place.key in getattr(part, "defaults", ()) and any(
            each is group for each in part.param_groups
        ):
            return place.get(part.defaults)
    return None


def _places(group: Mapping[str, Any]) -> list[tuple[str, HyperparameterRef]]:
    found: list[HyperparameterRef] = []
    for key, value in group.items():
        if key == "params" or key.startswith("initial_"):
            continue
        if isinstance(value, (tuple, list)):
            items = cast("list[Any]", value)
            found += [HyperparameterRef(key, i) for i, item in enumerate(items) if _is_number(item)]
        elif _is_number(value):
            found.append(HyperparameterRef(key))
    return [(str(place), place) for place in found]


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and value.is_floating_point()
    return isinstance(value, (int, float)) and not isinstance(value, bool)
