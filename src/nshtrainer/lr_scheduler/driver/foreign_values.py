"""Values that other code writes into the parameter groups that a schedule drives."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from math import isclose
from typing import TYPE_CHECKING, Any

from torch import Tensor

from nshtrainer.exceptions import NshtrainerWarning
from nshtrainer.lr_scheduler.driver.hyperparameters import find
from nshtrainer.lr_scheduler.driver.optimizer_hooks import (
    has_moving_rival,
    is_scheduled_by_torch,
    metric_rival_of,
    refuse_beside_metric,
    refuse_two,
    rival_of,
)
from nshtrainer.lr_scheduler.driver.scheduled_groups import ScheduledGroups

if TYPE_CHECKING:
    from nshtrainer.lr_scheduler.driver.hyperparameters import HyperparameterRef, Key
    from nshtrainer.lr_scheduler.driver.scheduled_groups import Group, ScheduledValue
    from nshtrainer.lr_scheduler.driver.step_checks import FirstSteps
    from nshtrainer.run_length import RunLength

__all__ = ["ForeignValues"]


class ForeignValues(ScheduledGroups):
    """A schedule that makes early values of other code its base, and overwrites later ones."""

    _first: FirstSteps | None
    _replaced: dict[Key, float]
    """The base values of the config, where a value that other code wrote has replaced them."""

    def _keep_rates(self, rates: Mapping[int, float]) -> None:
        """Keep the rates of a PyTorch scheduler, which computes the next rates from them."""
        if self._first is not None:
            self._first.left.update(("lr", index) for index in rates)
            for index, rate in rates.items():
                find(self._groups[index], "lr").set(self._groups[index], rate)

    def _set(self, place: HyperparameterRef, group: Group, value: float, written: float) -> None:
        """Write over a value that this schedule did not write: a tensor, a copy, a foreign one."""
        standing = place.get(group)
        if not isinstance(standing, Tensor) and _differs(standing, written):
            rival = rival_of(self, place, group, standing)
            # A rival that has not moved may never be stepped: only one that has is an error.
            if rival is not None and rival.last_epoch > 0:
                refuse_two(self._plan.name, rival.plan.name, place)
            metric = metric_rival_of(self.optimizer, place, standing)
            if metric is not None:
                refuse_beside_metric(metric, self._plan.name)
            self._warn_of(place, standing, self._describe_base(place, group))
        place.set(group, value)

    def _warn_of(self, place: HyperparameterRef, standing: Any, more: str = "") -> None:
        warnings.warn(
            f"the {place} {standing!r} that was written into a parameter group during the run "
            f"is overwritten by the schedule ({self._plan.label}){more}; to change it, change the "
            "config, or write it before the first update",
            NshtrainerWarning,
            stacklevel=4,
        )

    def _describe_base(self, place: HyperparameterRef, group: Group) -> str:
        """Describe the base value in use, if it differs from the config's."""
        key = str(place), [each is group for each in self._groups].index(True)
        if key not in self._replaced:
            return ""
        return (
            f", whose base value is still {self._bases.get(key):g}, which was written before the "
            f"first step (the config has {self._replaced[key]:g})"
        )

    def _take_values(self, first: FirstSteps) -> None:
        """Make a value that other code wrote before the first step the base value.

        Code that writes again for an update before the third step is no learning-rate finder: the
        original base value is restored.

        Raises:
            ScheduleError: A PyTorch scheduler writes the learning rate as well.
        """
        others = list(self._others_values(first.tried))
        # A finder writes before the first step; a later rate comes from a second scheduler.
        is_late = first.steps > 1 and any(scheduled.key == "lr" for scheduled, *_ in others)
        if is_late and is_scheduled_by_torch(self.optimizer):
            refuse_two(self._plan.name, "a PyTorch scheduler", "lr")
        # The values of a rival schedule of this package are no base values either.
        found = {
            key: standing
            for scheduled, key, group, standing in others
            if not scheduled.is_value and rival_of(self, scheduled.place, group, standing) is None
        }
        if first.steps == 1:
            # Repeated values, and those of a PyTorch scheduler, are schedules of their own.
            changes = {
                key: first.base_of(key, standing)
                for key, standing in found.items()
                if key not in first.rewritten | first.left
            }
            self._replaced = {key: self._bases.get(key) for key in changes}
            first.tried.clear()
            self._rebase(changes)
            self._warn_of_base(found, found.keys() - changes.keys(), "stays {:g}")
        elif again := self._replaced.keys() & found.keys():
            # The writer was a schedule after all: take its first value back.
            self._rebase(self._replaced)
            self._replaced.clear()
            self._warn_of_base(found, again, "is {:g} again")

    def _warn_of_base(self, found: Mapping[Key, Any], keys: set[Key], how: str) -> None:
        for key in sorted(keys)[:1]:
            name, index = key
            more = f", and its base value {how.format(self._bases.get(key))}"
            self._warn_of(find(self._groups[index], name), found[key], more)

    def _try_values(self, first: FirstSteps) -> None:
        """Scale values that other code wrote before the first step, without rebasing yet."""
        for scheduled, key, group, standing in list(self._others_values()):
            is_left = scheduled.is_value or key in first.left
            if is_left or rival_of(self, scheduled.place, group, standing) is not None:
                continue
            value = float(standing)  # 0 is written by code that only wants the optimizer's state
            if value and (key not in first.tried or standing != first.tried[key][1]):
                scaled = value * self._factor(group, scheduled.place, value)
                scheduled.place.set(group, scaled)
                first.note_tried(key, value, scaled)

    def _would_move(self) -> bool:
        """Return True if the missing steps would change a value, and no other code does."""
        if has_moving_rival(self) or self._is_driven_by_another() or any(self._others_values()):
            return False
        # Only the next step and the end are compared: where both keep the value, as a constant
        # schedule does, a missing step does no harm.
        last = (self._plan.run.total_steps or 0) - 1
        later = {self.last_epoch + 1, max(self.last_epoch, last)}
        try:
            return any(
                scheduled.factor(self.last_epoch) != scheduled.factor(position)
                for scheduled in self._scheduled
                for position in later
            )
        except Exception:  # noqa: BLE001 - a user's function may be defined up to an end
            return False

    def resolve_again(self, run: RunLength) -> None:
        """Follow the same config in a run of another length, before the first step."""
        tried = self._first.tried if self._first is not None else {}
        others = [
            (scheduled.place, group, tried.get(key, (float(standing),))[0])
            for scheduled, key, group, standing in self._others_values(tried)
        ]
        tried.clear()
        self._plan = self._plan.in_run(run)
        self._write()
        for place, group, value in others:  # a found rate is not the base yet
            place.set(group, value)

    def _others_values(
        self, tried: Mapping[Key, tuple[float, float]] | None = None
    ) -> Iterator[tuple[ScheduledValue, Key, Group, Any]]:
        """Yield the values that differ from those that the schedule wrote.

        Args:
            tried: Values of other code, and their scaled replacements, which count as foreign, too.
        """
        places = {id(group): index for index, group in enumerate(self._groups)}
        for scheduled in self._scheduled:
            for group, written in scheduled.written():
                key = str(scheduled.place), places[id(group)]
                standing = scheduled.place.get(group)
                is_scaled = tried and key in tried and standing == tried[key][1]
                if _differs(standing, written) or is_scaled:
                    yield scheduled, key, group, standing


def _differs(standing: Any, written: float) -> bool:
    """Return True if a value differs from the written one by more than rounding.

    PyTorch's schedulers compute rates recursively, which rounds. A tensor compares with a number in
    the tensor's own precision.
    """
    is_rounded = isinstance(standing, float) and isclose(standing, written, rel_tol=1e-9)
    return standing != written and not is_rounded
