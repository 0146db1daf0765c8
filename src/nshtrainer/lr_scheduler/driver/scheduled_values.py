"""What the driver writes with each step: curves, and the groups that follow them."""

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
"""Of more groups than this with the same base, the rest is written without looking."""


class Follower(NamedTuple):
    """One hyperparameter of one group, and the curve that it follows."""

    group: Group
    place: HyperparameterRef
    curve: Curve
    base: float
    is_value: bool
    """The curve is the value itself; the base is 1."""


@dataclass(slots=True)
class GroupBatch:
    """The groups of one base value: they share the product, and the very object written last."""

    base: float
    is_value: bool = False
    written: float = 0.0
    has_more: bool = False
    watched: list[Group] = field(default_factory=list[Group])
    others: list[Group] = field(default_factory=list[Group])
    filled: list[tuple[Group, Tensor]] = field(default_factory=list[tuple[Group, Tensor]])

    def groups(self) -> list[Group]:
        """All of them."""
        return [*self.watched, *self.others, *(group for group, _ in self.filled)]

    def settle(self, place: HyperparameterRef) -> None:
        """Sort the groups by how they are written: tensors filled, of many numbers some watched."""
        if place.item is not None:
            return
        numbers: list[Group] = []
        for group in self.watched:
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
        """Return the value of the curve.

        Raises:
            ScheduleError: The value is not finite, or negative.
        """
        factor = self.call(position)
        if not 0.0 <= factor < inf:
            refuse(factor, position, self.place)
        return factor

    def written(self) -> Iterator[tuple[Group, float]]:
        """Yield each group with the value that was written into it last."""
        for cohort in self.cohorts:
            for group in cohort.groups():
                yield group, cohort.written

    def begin(self, position: int, takes: Callable[[Group], bool]) -> None:
        """Write the values of a position, whatever stands there.

        Args:
            position: The position.
            takes: Returns True for the groups that are written; the others keep what they have.
        """
        factor = self.factor(position)
        for cohort in self.cohorts:
            cohort.written = cohort.base * factor
            for group in cohort.watched:
                if takes(group):
                    self.place.set(group, cohort.written)
            cohort.settle(self.place)


def movements_of(followers: Iterable[Follower]) -> list[ScheduledValue]:
    """Collect what follows the same curve, and what has the same base in it."""
    movements: dict[Hashable, ScheduledValue] = {}
    cohorts: dict[Hashable, GroupBatch] = {}
    for group, place, curve, base, is_value in followers:
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
    """Raise the error of a factor that is not finite or negative."""
    raise ScheduleError(
        f"the schedule of {place} gives {factor!r} at step {position}; a factor must be finite and "
        "not negative"
    )


def _callable(curve: Curve) -> Curve:
    """What is called for a value, without a detour over the class; what is no function fails."""
    if not callable(curve):
        raise ScheduleError(
            f"a curve is a function of the step, such as `lambda step: 1 / (1 + step)`, not "
            f"{curve!r}"
        )
    return curve if isinstance(curve, FunctionType) else curve.__call__


def _identity(curve: Curve) -> Hashable:
    """Curves that are equal are computed once."""
    try:
        hash(curve)
    except TypeError:
        return id(curve)
    return curve
