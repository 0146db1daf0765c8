"""Scheduled values: curves, and batches of groups that follow them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from math import inf
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from torch import Tensor

from nshtrainer.exceptions import ScheduleError
from nshtrainer.lr_scheduler.driver.param_values import HyperparameterRef

if TYPE_CHECKING:
    from nshtrainer.lr_scheduler.track import Curve

__all__ = ["Follower", "Group", "GroupBatch", "ScheduledValue", "movements_of", "refuse"]

Group = dict[str, Any]

_WATCHED = 4
"""The most groups of one base value that are checked for foreign values."""


class Follower(NamedTuple):
    """One hyperparameter of one group, and the curve that it follows."""

    group: Group
    place: HyperparameterRef
    curve: Curve
    base: float
    is_value: bool
    """True if the curve is the value itself; the base is 1."""


@dataclass(slots=True)
class GroupBatch:
    """Groups with one base value: the product is computed once, and shared as one object."""

    base: float
    is_value: bool = False
    written: float = 0.0
    has_more: bool = False
    watched: list[Group] = field(default_factory=list[Group])
    others: list[Group] = field(default_factory=list[Group])
    filled: list[tuple[Group, Tensor]] = field(default_factory=list[tuple[Group, Tensor]])

    def groups(self) -> list[Group]:
        """Return all groups of the batch."""
        return [*self.watched, *self.others, *(group for group, _ in self.filled)]

    def settle(self, place: HyperparameterRef) -> None:
        """Sort the groups by how they are written: tensors are filled, few numbers are checked."""
        # A tuple is replaced as a whole, so an item has no identity to check: the slow path.
        if place.item is not None:
            return
        numbers: list[Group] = []
        for group in self.watched:
            # A compiled step reads the tensor itself, so its identity is remembered.
            standing = group[place.key]
            if isinstance(standing, Tensor):
                self.filled.append((group, standing))
            else:
                numbers.append(group)
        self.watched, self.others = numbers[:_WATCHED], numbers[_WATCHED:]
        self.has_more = bool(self.others or self.filled)


class ScheduledValue(NamedTuple):
    """One curve of one hyperparameter, and the groups that follow it."""

    key: str
    call: Callable[[int], float]
    cohorts: list[GroupBatch]
    place: HyperparameterRef

    @property
    def is_value(self) -> bool:
        """True if the curve is the value itself."""
        return self.cohorts[0].is_value

    def factor(self, position: int) -> float:
        """Return the value of the curve at a position.

        Raises:
            ScheduleError: The value is not finite, or negative.
        """
        factor = self.call(position)
        if not 0.0 <= factor < inf:
            refuse(factor, position, self.place)
        return factor

    def written(self) -> Iterator[tuple[Group, float]]:
        """Yield each group with the value that was last written into it."""
        for cohort in self.cohorts:
            for group in cohort.groups():
                yield group, cohort.written

    def begin(self, position: int, takes: Callable[[Group], bool]) -> None:
        """Write the values of a position, whatever the current values are.

        Args:
            position: The position.
            takes: Returns True for the groups to write; the others keep their values.
        """
        factor = self.factor(position)
        for cohort in self.cohorts:
            # One float object for all groups: `is` then finds a foreign value without comparing.
            cohort.written = cohort.base * factor
            for group in cohort.watched:
                if takes(group):
                    self.place.set(group, cohort.written)
            cohort.settle(self.place)


def movements_of(followers: Iterable[Follower]) -> list[ScheduledValue]:
    """Collect followers by curve, and within a curve by base value."""
    movements: dict[Hashable, ScheduledValue] = {}
    cohorts: dict[Hashable, GroupBatch] = {}
    for group, place, curve, base, is_value in followers:
        # Equal curves are one key: a schedule with hundreds of groups computes one factor.
        key = place, _identity(curve), is_value
        if key not in movements:
            movements[key] = ScheduledValue(place.key, _callable(curve), [], place)
        if (key, base) not in cohorts:
            movements[key].cohorts.append(
                cohorts.setdefault((key, base), GroupBatch(base, is_value))
            )
        cohorts[key, base].watched.append(group)
    return list(movements.values())


def refuse(factor: object, position: int, place: HyperparameterRef) -> NoReturn:
    """Raise the error for a factor that is negative or not finite."""
    raise ScheduleError(
        f"the schedule of {place} gives {factor!r} at step {position}; a factor must be finite and "
        "not negative"
    )


def _callable(curve: Curve) -> Curve:
    """Return the function to call for a value, without the lookup of `__call__` on the class."""
    if not callable(curve):
        raise ScheduleError(
            f"a curve is a function of the step, such as `lambda step: 1 / (1 + step)`, not "
            f"{curve!r}"
        )
    return curve if isinstance(curve, FunctionType) else curve.__call__


def _identity(curve: Curve) -> Hashable:
    """Return a key that equal curves share, so that each is computed once."""
    try:
        hash(curve)
    except TypeError:  # a user's curve may hold a list
        return id(curve)
    return curve
