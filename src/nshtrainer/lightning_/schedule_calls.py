"""Checks of how Lightning's trainer moves the schedules of a run."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from nshtrainer.exceptions import ScheduleError
from nshtrainer.lr_scheduler.driver import CurveScheduler
from nshtrainer.lr_scheduler.optimizer_hooks import refuse_two

if TYPE_CHECKING:
    import lightning.pytorch as pl

__all__ = ["check_schedule_calls"]


def check_schedule_calls(trainer: pl.Trainer) -> None:
    """Refuse two schedules of one hyperparameter, and warn of one that does not move by the step.

    Raises:
        ScheduleError: Two schedules drive the same hyperparameter of an optimizer, of which one may
            look at a metric.
    """
    configs: list[Any] = [
        config
        for config in trainer.lr_scheduler_configs
        if isinstance(config.scheduler, CurveScheduler)
    ]
    for one, other in combinations([config.scheduler for config in configs], 2):
        shared = one.places & other.places
        if one.optimizer is other.optimizer and shared:
            refuse_two(one, other, min(map(str, shared)))
    _refuse_plateau(trainer, [config.scheduler for config in configs])
    if not trainer.lightning_module.automatic_optimization:
        return  # the module itself moves them
    for config in configs:
        plan = config.scheduler.plan
        if plan.is_of_trainer and (config.interval, config.frequency) != ("step", 1):
            every = "" if config.frequency == 1 else f"{config.frequency} "
            problem = f"Lightning moves it by {every}{config.interval}"
            plan.warn_rhythm(problem)


def _refuse_plateau(trainer: pl.Trainer, curves: list[CurveScheduler]) -> None:
    """Refuse a scheduler that writes the rate of a metric beside a curve of the same rate."""
    found: list[Any] = [config.scheduler for config in trainer.lr_scheduler_configs]
    for metric in found:
        for curve in curves if isinstance(metric, ReduceLROnPlateau) else ():
            if metric.optimizer is curve.optimizer and "lr" in map(str, curve.places):
                raise ScheduleError(
                    f"two schedules drive lr of one optimizer ({type(metric).__name__} and "
                    f"{curve.plan.name}): each overwrites what the other writes. Write the curve "
                    "as the schedule of the one that looks at the metric: "
                    "{name: reduce_lr_on_plateau, schedule: {...}}"
                )
