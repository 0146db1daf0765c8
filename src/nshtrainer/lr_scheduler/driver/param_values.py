"""References to hyperparameters in the parameter groups of an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from torch import Tensor

from nshtrainer.exceptions import ScheduleError

__all__ = ["HyperparameterRef", "default_of", "find"]

Group = dict[str, Any]


class HyperparameterRef(NamedTuple):
    """A key of a group, with an index where the value is a tuple.

    >>> group = {"betas": (0.9, 0.999)}
    >>> place = find(group, "betas.0")
    >>> place.set(group, 0.5)
    >>> str(place), group
    ('betas.0', {'betas': (0.5, 0.999)})
    """

    key: str
    item: int | None = None

    def get(self, group: Mapping[str, Any]) -> Any:
        """Return the current value (a float or a 0-d tensor)."""
        return group[self.key] if self.item is None else group[self.key][self.item]

    def set(self, group: Group, value: float) -> None:
        """Write a number; a tensor is filled in place, because a compiled step reads that tensor.

        Raises:
            ScheduleError: A decay rate in `betas` would be outside [0, 1).
        """
        # torch checks betas only in the constructor; outside the range the averages diverge.
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
    """Find a hyperparameter in a parameter group.

    Args:
        group: A parameter group of an optimizer.
        name: A key such as `lr`, or a key and an index such as `betas.0`. `momentum` is `betas.0`
            in a group without that key: the momentum of Adam.

    Raises:
        ScheduleError: The group has no such number; the message lists the numbers that it has.
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
    """Return the optimizer's default for a group without a value of its own; None if there is none.

    Args:
        optimizer: The optimizer; in a routed one, the defaults of the part with the group count.
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
        # `initial_...` are base values that schedulers note, not hyperparameters.
        if key == "params" or key.startswith("initial_"):
            continue
        if isinstance(value, (tuple, list)):
            items = cast("list[Any]", value)
            found += [HyperparameterRef(key, i) for i, item in enumerate(items) if _is_number(item)]
        elif _is_number(value):
            found.append(HyperparameterRef(key))
    return [(str(place), place) for place in found]


def _is_number(value: Any) -> bool:
    # 0-d tensors, and the 1-element tensors that some users pass.
    if isinstance(value, Tensor):
        return value.numel() == 1 and value.is_floating_point()
    return isinstance(value, (int, float)) and not isinstance(value, bool)
