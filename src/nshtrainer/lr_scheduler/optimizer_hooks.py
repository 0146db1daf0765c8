"""Hooks by which an optimizer tells its schedules of updates, and schedules of each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import ref

from typing_extensions import override

from nshtrainer.exceptions import ScheduleError

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nshtrainer.lr_scheduler.driver import CurveScheduler
    from nshtrainer.lr_scheduler.hyperparameters import Place
    from nshtrainer.lr_scheduler.movement import Group

__all__ = ["AfterLoading", "BeforeUpdate", "has_moving_rival", "refuse_two", "rival_of"]


class BeforeUpdate:
    """A hook before each optimizer update. It does not keep its scheduler alive.

    Args:
        scheduler: The scheduler to tell.
    """

    def __init__(self, scheduler: CurveScheduler) -> None:
        self.scheduler = ref(scheduler)

    def __call__(self, *_: object) -> None:
        """Tell the scheduler, if it is still there."""
        scheduler = self.scheduler()
        if scheduler is not None:
            scheduler.before_update()


class AfterLoading(BeforeUpdate):
    """A hook after an optimizer has loaded a state."""

    @override
    def __call__(self, *_: object) -> None:
        scheduler = self.scheduler()
        if scheduler is not None:
            scheduler.after_loading()


def rival_of(
    scheduler: CurveScheduler, place: Place, group: Group, value: Any
) -> CurveScheduler | None:
    """Return the other schedule of an optimizer that wrote a value, if one did.

    Args:
        scheduler: The schedule that did not.
        place: The hyperparameter.
        group: The parameter group.
        value: What stands there.
    """
    for other in _schedules_of(scheduler.optimizer):
        if other is not scheduler and other.wrote(place, group, value):
            return other
    return None


def has_moving_rival(scheduler: CurveScheduler) -> bool:
    """Return True if another schedule of the same hyperparameters has moved."""
    return any(
        other is not scheduler and other.last_epoch > 0 and scheduler.places & other.places
        for other in _schedules_of(scheduler.optimizer)
    )


def refuse_two(one: CurveScheduler, other: CurveScheduler, place: object) -> NoReturn:
    """Raise the error of two schedules that write the same hyperparameter.

    Raises:
        ScheduleError: Always.
    """
    names = " and ".join(each.plan.name for each in (one, other))
    raise ScheduleError(
        f"two schedules drive {place} of one optimizer ({names}): each overwrites what the other "
        "writes. Write product, one schedule of both: {name: product, schedules: [...]}"
    )


def _schedules_of(optimizer: Optimizer) -> Iterator[CurveScheduler]:
    hooks: Mapping[int, Any] = getattr(optimizer, "_optimizer_step_pre_hooks", {})
    found = (hook.scheduler() for hook in hooks.values() if isinstance(hook, BeforeUpdate))
    return (scheduler for scheduler in found if scheduler is not None)
