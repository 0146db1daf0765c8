"""Checks of how Lightning's trainer moves the schedules of a run."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

from nshtrainer.lr_scheduler.driver import CurveScheduler
from nshtrainer.lr_scheduler.optimizer_hooks import refuse_two

if TYPE_CHECKING:
    import lightning.pytorch as pl

__all__ = ["check_schedule_calls"]


def check_schedule_calls(trainer: pl.Trainer) -> None:
    """Refuse two schedules of one hyperparameter, and warn of one that does not move by the step.

    Raises:
        ScheduleError: Two schedules drive the same hyperparameter of an optimizer.
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
    if not trainer.lightning_module.automatic_optimization:
        return  # the module itself moves them
    for config in configs:
        plan = config.scheduler.plan
        if plan.is_of_trainer and (config.interval, config.frequency) != ("step", 1):
            every = "" if config.frequency == 1 else f"{config.frequency} "
            problem = f"Lightning moves it by {every}{config.interval}"
            plan.warn_rhythm(problem)
