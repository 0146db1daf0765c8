"""Hyperparameters in the parameter groups of an optimizer, and their base values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias, cast

from torch import Tensor

from nshtrainer.exceptions import ScheduleError

__all__ = ["BaseValues", "Group", "HyperparameterRef", "Key", "default_of", "find"]

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


Key: TypeAlias = tuple[str, int]
"""The name of a hyperparameter, and the index of a parameter group."""

_Values: TypeAlias = dict[str, list[float | None]]


@dataclass(eq=False)
class BaseValues:
    """The base value of each hyperparameter, by the index of the parameter group.

    PyTorch's schedulers note the base rate of a group under `initial_lr`; this class does the same
    for every hyperparameter.
    """

    _values: _Values = field(default_factory=lambda: {"lr": []})
    _of_late_groups: _Values = field(default_factory=dict[str, list[float | None]])
    _before_loading: Sequence[float | None] = ()
    _not_noted: Collection[int] = ()

    @property
    def lrs(self) -> list[float]:
        """The base rate of each group."""
        return [float(base or 0.0) for base in self._values["lr"]]

    def of(
        self, index: int, group: Group, place: HyperparameterRef, joining: Callable[[], float]
    ) -> float:
        """Return a base value, and note it in the group.

        Args:
            index: The index of the group.
            group: The group.
            place: The hyperparameter.
            joining: Computes the base value of a group without a noted one.
        """
        name = str(place)
        values = self._values.setdefault(name, [])
        values.extend([None] * (index + 1 - len(values)))
        base = values[index]
        # A noted value wins: an earlier scheduler or a loaded state knows the base, `lr` does not.
        if base is None:
            # What a loaded state has for a group that was not there yet comes after the group's.
            awaited = dict(enumerate(self._of_late_groups.get(name, ())))
            base = group.get(f"initial_{name}", awaited.get(index))
            base = values[index] = joining() if base is None else float(base)
        # Noted again, since a loaded state may have replaced the dict of the group.
        group[f"initial_{name}"] = base
        return base

    def get(self, key: Key) -> float:
        """Return the base value of a hyperparameter that has one."""
        name, index = key
        return float(self._values[name][index] or 0.0)

    def update(self, changes: Mapping[Key, float | None]) -> None:
        """Replace some base values."""
        for (name, index), base in changes.items():
            # Changes may be of groups that were removed.
            values = self._values.get(name, [])
            if index < len(values):
                values[index] = base

    def follow(self, old: Sequence[Group], new: Sequence[Group]) -> None:
        """Move the base values with their groups, some of which were added, removed or exchanged.

        Args:
            old: The groups that the values belong to, by index.
            new: The current groups.
        """
        # Groups are known by identity: names are optional, and indices shift.
        places = {id(group): place for place, group in enumerate(old)}
        order = [places.get(id(group)) for group in new]
        for name, values in self._values.items():
            known = len(values)
            self._values[name] = [
                values[place] if place is not None and place < known else None for place in order
            ]

    def reload(self, groups: Sequence[Group], *, keep: bool) -> None:
        """Read the base values that the groups of an optimizer have after it has loaded a state.

        Args:
            groups: The groups.
            keep: Keep the base value of an index whose group has noted none.
        """
        # The first reload only: `restore` returns to the values from before any loading.
        self._before_loading = self._before_loading or list(self._values["lr"])
        self._not_noted = [k for k, group in enumerate(groups) if "initial_lr" not in group]
        for name, values in self._values.items():
            kept = [*values, *[None] * len(groups)] if keep else [None] * len(groups)
            noted = [group.get(f"initial_{name}") for group in groups]
            self._values[name] = [
                base if note is None else float(note)
                for note, base in zip(noted, kept, strict=False)
            ]

    def load(self, saved: Mapping[str, list[float | None]], count: int, *, keep: bool) -> None:
        """Load the base values of a saved state; values of further groups wait until they join.

        Args:
            saved: The base values by hyperparameter.
            count: The current number of groups.
            keep: Keep the values of the current groups.
        """
        for name, bases in saved.items():
            own = self._values.setdefault(name, [])
            if not keep:
                own[: len(bases)] = bases
            # Users may load a state before they add the groups that it knows.
            del own[count:]
            self._of_late_groups[name] = [*[None] * count, *bases[count:]]

    def restore(self, *, noted: bool) -> None:
        """Restore the base rates from before the optimizer loaded a state.

        Args:
            noted: Also for groups whose base rate is noted in that state.
        """
        places = range(len(self._before_loading)) if noted else self._not_noted
        self.update({("lr", k): base for k, base in enumerate(self._before_loading) if k in places})

    def to_dict(self) -> _Values:
        """Return the base values as plain data."""
        return {name: list(values) for name, values in self._values.items()}
