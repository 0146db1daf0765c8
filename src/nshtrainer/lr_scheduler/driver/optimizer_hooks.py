"""Hooks by which an optimizer notifies its schedules, and checks for competing schedules."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakMethod, ref

from torch.optim.lr_scheduler import LRScheduler

from nshtrainer.exceptions import ScheduleError
from nshtrainer.optimizer_record import on_step_skipped, record_of

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.lr_scheduler.driver.hyperparameters import HyperparameterRef
    from nshtrainer.lr_scheduler.driver.scheduled_groups import Group, ScheduledGroups

__all__ = [
    "has_moving_rival",
    "is_held_by_torch",
    "is_scheduled_by_torch",
    "listen",
    "metric_rival_of",
    "rates_of_torch",
    "refuse_beside_metric",
    "refuse_two",
    "rival_of",
]


_HOOKS = (
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_optimizer_load_state_dict_post_hooks",
)
"""The attributes of an optimizer in which torch keeps the hooks that a scheduler registers."""


@dataclass(eq=False)
class _Hook:
    """A hook of an optimizer that does not keep its scheduler alive."""

    scheduler: ref[ScheduledGroups]


class _BeforeUpdate(_Hook):
    def __call__(self, *_: object) -> None:
        scheduler = self.scheduler()
        if scheduler is not None:
            scheduler.before_update()


class _AfterUpdate(_Hook):
    def __call__(self, *_: object) -> None:
        scheduler = self.scheduler()
        if scheduler is not None:
            scheduler.after_update()


class _AfterLoading(_Hook):
    def __call__(self, *_: object) -> None:
        scheduler = self.scheduler()
        if scheduler is not None:
            scheduler.after_loading()


def listen(scheduler: ScheduledGroups, *, after_updates: bool) -> None:
    """Notify a scheduler of updates, skips and loaded states; remove hooks of dead schedulers.

    They are removed here because an optimizer that is calling its hooks cannot lose one.

    Args:
        scheduler: The scheduler.
        after_updates: Notify the scheduler after updates as well.
    """
    optimizer = scheduler.optimizer
    for name in _HOOKS:
        hooks: dict[int, Any] = getattr(optimizer, name)
        for key, hook in list(hooks.items()):
            if isinstance(hook, _Hook) and hook.scheduler() is None:
                del hooks[key]
    weak = ref(scheduler)
    on_step_skipped(optimizer, WeakMethod(scheduler.skip_next_step))
    if after_updates:
        optimizer.register_step_post_hook(_AfterUpdate(weak))
    optimizer.register_step_pre_hook(_BeforeUpdate(weak))
    optimizer.register_load_state_dict_post_hook(_AfterLoading(weak))


def rival_of(
    scheduler: ScheduledGroups, place: HyperparameterRef, group: Group, value: Any
) -> ScheduledGroups | None:
    """Return the other schedule of an optimizer that wrote a value, if there is one.

    Args:
        scheduler: The schedule that found the value.
        place: The hyperparameter.
        group: The parameter group.
        value: The current value.
    """
    for other in _schedules_of(scheduler.optimizer):
        if other is not scheduler and other.wrote(place, group, value):
            return other
    return None


def has_moving_rival(scheduler: ScheduledGroups) -> bool:
    """Return True if another schedule of the same hyperparameters may have moved."""
    # A PyTorch scheduler cannot be found from its optimizer, so it counts as one that moves.
    return is_scheduled_by_torch(scheduler.optimizer) or any(
        other is not scheduler and other.last_epoch > 0 and scheduler.places & other.places
        for other in _schedules_of(scheduler.optimizer)
    )


def is_scheduled_by_torch(optimizer: Optimizer) -> bool:
    """Return True if a PyTorch scheduler was ever created for an optimizer."""
    return hasattr(optimizer.step, "_wrapped_by_lr_sched")


def is_held_by_torch(optimizer: Optimizer) -> bool:
    """Return True if a PyTorch scheduler for an optimizer is alive.

    An optimizer has no reference to its schedulers, so all objects are searched.
    """
    # Not `isinstance`, which reads `__class__` and so would make lazy proxies load.
    return any(
        issubclass(type(each), LRScheduler)
        and getattr(each, "optimizer", None) is optimizer
        and each not in _schedules_of(optimizer)
        for each in gc.get_objects()
    )


def rates_of_torch(optimizer: Optimizer) -> dict[int, float]:
    """Return the rates that a PyTorch scheduler wrote, by the index of the group."""
    if not is_scheduled_by_torch(optimizer):
        return {}
    return {
        index: float(group["lr"])
        for index, group in enumerate(optimizer.param_groups)
        # PyTorch notes the base as `initial_lr`: a rate that differs from it was scheduled.
        if group.get("initial_lr", group["lr"]) != group["lr"]
    }


def metric_rival_of(optimizer: Optimizer, place: HyperparameterRef, value: Any) -> object:
    """Return the metric's scheduler if it wrote a value, else None."""
    scheduler: Any = record_of(optimizer).metric_scheduler()
    # Before its first value of the metric the scheduler has written nothing.
    if scheduler is None or place.key != "lr" or not scheduler.last_epoch:
        return None
    return scheduler if value in scheduler.get_last_lr() else None


def refuse_two(one: str, other: str, place: object) -> NoReturn:
    """Raise the error for two schedules that write the same hyperparameter.

    Raises:
        ScheduleError: Always.
    """
    raise ScheduleError(
        f"two schedules drive {place} of one optimizer ({one} and {other}): each overwrites what "
        "the other writes. Write product, one schedule of both: {name: product, schedules: [...]}"
    )


def refuse_beside_metric(metric: object, curve: str) -> NoReturn:
    """Raise the error for a metric's scheduler that writes the rate beside a curve.

    Raises:
        ScheduleError: Always.
    """
    raise ScheduleError(
        f"two schedules drive lr of one optimizer ({type(metric).__name__} and {curve}): each "
        "overwrites what the other writes. Write the curve as the schedule of the one that looks "
        "at the metric: {name: reduce_lr_on_plateau, schedule: {...}}"
    )


def _schedules_of(optimizer: Optimizer) -> Iterator[ScheduledGroups]:
    # The hooks are the only list of an optimizer's schedules.
    hooks: Mapping[int, Any] = getattr(optimizer, "_optimizer_step_pre_hooks", {})
    found = (hook.scheduler() for hook in hooks.values() if isinstance(hook, _BeforeUpdate))
    return (scheduler for scheduler in found if scheduler is not None)
