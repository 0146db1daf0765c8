"""Parameter groups whose hyperparameters one schedule moves, in batches with one value."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isclose
from operator import is_
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from torch import Tensor

from nshtrainer.exceptions import ScheduleError
from nshtrainer.lr_scheduler.driver.hyperparameters import (
    BaseValues,
    Group,
    HyperparameterRef,
    Key,
    default_of,
    find,
)

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.lr_scheduler.driver.plan import SchedulePlan
    from nshtrainer.lr_scheduler.track import Curve

__all__ = [
    "Follower",
    "Group",
    "GroupBatch",
    "ScheduledGroups",
    "ScheduledValue",
    "collect_followers",
    "refuse",
]

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

    def sort_groups(self, place: HyperparameterRef) -> None:
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
    batches: list[GroupBatch]
    place: HyperparameterRef

    @property
    def is_value(self) -> bool:
        """True if the curve is the value itself."""
        return self.batches[0].is_value

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
        for batch in self.batches:
            for group in batch.groups():
                yield group, batch.written

    def begin(self, position: int, takes: Callable[[Group], bool]) -> None:
        """Write the values of a position, whatever the current values are.

        Args:
            position: The position.
            takes: Returns True for the groups to write; the others keep their values.
        """
        factor = self.factor(position)
        for batch in self.batches:
            # One float object for all groups: `is` then finds a foreign value without comparing.
            batch.written = batch.base * factor
            for group in batch.watched:
                if takes(group):
                    self.place.set(group, batch.written)
            batch.sort_groups(self.place)


def collect_followers(followers: Iterable[Follower]) -> list[ScheduledValue]:
    """Collect followers by curve, and within a curve by base value."""
    values: dict[Hashable, ScheduledValue] = {}
    batches: dict[Hashable, GroupBatch] = {}
    for group, place, curve, base, is_value in followers:
        if not callable(curve):
            raise ScheduleError(
                "a curve is a function of the step, such as `lambda step: 1 / (1 + step)`, not "
                f"{curve!r}"
            )
        # Equal curves are one key: a schedule with hundreds of groups computes one factor.
        key: Hashable = (place, curve, is_value)
        try:
            hash(key)
        except TypeError:  # a user's curve may hold a list
            key = (place, id(curve), is_value)
        if key not in values:
            # A bound method saves the lookup of `__call__` on the class at each step.
            call = curve if isinstance(curve, FunctionType) else curve.__call__
            values[key] = ScheduledValue(place.key, call, [], place)
        if (key, base) not in batches:
            values[key].batches.append(batches.setdefault((key, base), GroupBatch(base, is_value)))
        batches[key, base].watched.append(group)
    return list(values.values())


def refuse(factor: object, position: int, place: HyperparameterRef) -> NoReturn:
    """Raise the error for a factor that is negative or not finite."""
    raise ScheduleError(
        f"the schedule of {place} gives {factor!r} at step {position}; a factor must be finite and "
        "not negative"
    )


# Rounds of the search for a base rate; a factor that is the same for all rates needs two.
_MOST_TRIES = 50


class ScheduledGroups:
    """The base values of each parameter group, and the curves that it follows.

    A group that joins the optimizer during the run is scheduled from its first update. Its base
    rate is the optimizer's default if the group was added without a rate. Else the group's rate is
    the one to continue from, and the base rate is that rate divided by the current factor.
    """

    optimizer: Optimizer
    last_epoch: int
    _plan: SchedulePlan
    _bases: BaseValues
    _scheduled: list[ScheduledValue]
    _groups: list[Group]

    @property
    def plan(self) -> SchedulePlan:
        """The tracks of each group."""
        return self._plan

    @abstractmethod
    def before_update(self) -> None:
        """Prepare an update of the optimizer."""

    @abstractmethod
    def after_update(self) -> None:
        """Record the outcome of an update of the optimizer."""

    @abstractmethod
    def after_loading(self) -> None:
        """Read the groups of an optimizer that has loaded a state."""

    @abstractmethod
    def skip_next_step(self) -> None:
        """Skip the next step: the update in progress changes nothing."""

    def catch_up(self) -> None:
        """Schedule parameter groups that were added, removed or exchanged.

        Each optimizer update and each step calls this first. Values of other groups are unchanged.
        """
        groups = self.optimizer.param_groups
        # Compared by identity: comparing dicts would compare tensors.
        if len(groups) != len(self._groups) or not all(map(is_, groups, self._groups)):
            self._write(new_only=True)

    def _write(self, *, new_only: bool = False) -> None:
        """Resolve the plan for the current groups, and write the values of this position."""
        groups, old = self.optimizer.param_groups, self._groups
        known = {id(group) for group in old} if new_only else set[int]()
        if old:
            self._bases.follow(old, groups)
        self._groups = list(groups)
        self._plan.in_use.clear()  # the groups may have other base rates now
        self._scheduled = collect_followers(self._followers())
        for scheduled in self._scheduled:
            scheduled.begin(max(self.last_epoch, 0), lambda group: id(group) not in known)
        self._note_planned()

    def _followers(self) -> Iterator[Follower]:
        """Yield each scheduled hyperparameter of each group, with its curve and base value."""
        for index, group in enumerate(self._groups):
            base_lr = self._base(index, group, find(group, "lr"))
            for track in self._plan.tracks(group, base_lr):
                place = find(group, track.hyperparameter)
                is_value = track.kind == "value"
                base = 1.0 if is_value else self._base(index, group, place)
                if place.key == "lr":
                    base = self._scaled(index, base)
                yield Follower(group, place, track.curve, base, is_value)

    def _base(self, index: int, group: Group, place: HyperparameterRef) -> float:
        """Return the initial value of a group's hyperparameter, noted under torch's own key."""
        return self._bases.of(index, group, place, lambda: self._joining(group, place))

    def _based(self) -> list[tuple[Group, float]]:
        """Return each group with its base rate."""
        groups = self.optimizer.param_groups
        return [(group, self._base(k, group, find(group, "lr"))) for k, group in enumerate(groups)]

    def _scaled(self, index: int, base: float) -> float:  # noqa: ARG002 - for those who scale
        """Return the current base rate of a group; subclasses may scale it."""
        return base

    def _joining(self, group: Group, place: HyperparameterRef) -> float:
        """Return the base value of a group that joins the optimizer.

        Once the schedule has moved, a rate that was given to the group is the one to continue from,
        as in Lightning's `BaseFinetuning`; the optimizer's default is a base value.
        """
        standing = place.get(group)
        if isinstance(standing, Tensor):
            for index, other in enumerate(self._groups):
                # Two groups with one tensor would be scaled twice: the new group gets a copy.
                if other is not group and other.get(place.key) is standing:
                    group[place.key] = standing.clone()
                    return self._base(index, other, place)
        value = float(standing)
        if self.last_epoch <= 0 or place.key != "lr":
            return value
        if standing == default_of(self.optimizer, group, place):
            return value
        try:
            return self._continued(group, place, value)
        except ScheduleError:
            # No curve for this base rate: the schedule cannot have scaled it.
            return value

    def _continued(self, group: Group, place: HyperparameterRef, value: float) -> float:
        """Return the base value that the schedule scales to `value`; at a factor of 0, `value`."""
        base = value
        # An absolute rate in a schedule is another factor of each base.
        for _ in range(_MOST_TRIES):
            factor = self._factor(group, place, base)
            if not 0.0 < factor < inf:
                return value
            last, base = base, value / factor
            if isclose(base, last, rel_tol=1e-12):
                break
        return base

    def _factor(self, group: Group, place: HyperparameterRef, base: float) -> float:
        """Return the current factor of a group with a base value; 1 without a curve."""
        base_lr = base if place.key == "lr" else float(group["initial_lr"])
        track = self._plan.track_of(group, place, base_lr)
        is_factor = track is not None and track.kind == "factor"
        return track.curve(max(self.last_epoch, 0)) if track and is_factor else 1.0

    def rebase(self, lrs: Sequence[float]) -> None:
        """Replace the base rates, and write the values of this position.

        Args:
            lrs: The base rate of each parameter group.
        """
        self.catch_up()
        self._rebase({("lr", index): float(rate) for index, rate in enumerate(lrs)})

    def _rebase(self, changes: Mapping[Key, float]) -> None:
        self._bases.update(changes)
        self._write()

    def moved_groups(self, key: str) -> list[list[Group]]:
        """Return the groups in which a hyperparameter moves, by curve."""
        return [
            [group for batch in scheduled.batches for group in batch.groups()]
            for scheduled in self._scheduled
            if scheduled.key == key
        ]

    def _is_driven_by_another(self) -> bool:
        """Return True if another scheduler has set base rates of its own, as a rate finder does."""
        bases = zip(self._groups, self._bases.lrs, strict=False)
        return any(group.get("initial_lr", base) != base for group, base in bases)

    @property
    def base_lrs(self) -> list[float]:
        """The base rate of each group."""
        return self._bases.lrs

    def get_last_lr(self) -> list[float | Tensor]:
        """Return the current rates of the groups."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def rates_at(self, position: int) -> list[float]:
        """Return base times curve for each group; the current value of a group without a plan."""
        values = {
            id(group): batch.base * scheduled.factor(position)
            for scheduled in self._scheduled
            if scheduled.key == "lr"
            for batch in scheduled.batches
            for group in batch.groups()
        }
        groups = self.optimizer.param_groups
        return [values.get(id(group), float(group["lr"])) for group in groups]

    @property
    def places(self) -> set[tuple[str, int]]:
        """The hyperparameters that this schedule moves, each with the identity of its group."""
        return {
            (str(scheduled.place), id(group))
            for scheduled in self._scheduled
            for group, _ in scheduled.written()
        }

    def wrote(self, place: HyperparameterRef, group: Group, value: Any) -> bool:
        """Return True if this schedule wrote the value last."""
        return any(
            each is group and written == value
            for scheduled in self._scheduled
            if scheduled.place == place
            for each, written in scheduled.written()
        )

    @abstractmethod
    def _note_planned(self) -> None:
        """Record the groups for which the next step needs no preparation."""
