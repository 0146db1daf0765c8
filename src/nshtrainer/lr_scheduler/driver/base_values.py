"""Base values: the values that schedules multiply, by hyperparameter and parameter group."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias

from nshtrainer.lr_scheduler.driver.param_values import HyperparameterRef
from nshtrainer.lr_scheduler.driver.scheduled_values import Group

__all__ = ["BaseValues", "Key"]

Key: TypeAlias = tuple[str, int]
"""The name of a hyperparameter, and the index of a parameter group."""

_Values: TypeAlias = dict[str, list[float | None]]


class BaseValues:
    """The base value of each hyperparameter, by the index of the parameter group.

    PyTorch's schedulers note the base rate of a group under `initial_lr`; this class does the same
    for every hyperparameter.
    """

    def __init__(self) -> None:
        self._values: _Values = {"lr": []}
        self._awaited: _Values = {}
        self._begun: Sequence[float | None] = ()
        self._unnoted: Collection[int] = ()

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
            awaited = dict(enumerate(self._awaited.get(name, ())))
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
        self._begun = self._begun or list(self._values["lr"])
        self._unnoted = [k for k, group in enumerate(groups) if "initial_lr" not in group]
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
            self._awaited[name] = [*[None] * count, *bases[count:]]

    def restore(self, *, noted: bool) -> None:
        """Restore the base rates from before the optimizer loaded a state.

        Args:
            noted: Also for groups whose base rate is noted in that state.
        """
        places = range(len(self._begun)) if noted else self._unnoted
        self.update({("lr", k): base for k, base in enumerate(self._begun) if k in places})

    def to_dict(self) -> _Values:
        """Return the base values as plain data."""
        return {name: list(values) for name, values in self._values.items()}
