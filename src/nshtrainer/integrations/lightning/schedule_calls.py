"""Checks of how Lightning's trainer steps the schedules of a run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

from torch.optim.lr_scheduler import ChainedScheduler, LRScheduler, ReduceLROnPlateau

from nshtrainer.lr_scheduler.driver.optimizer_hooks import refuse_beside_metric, refuse_two
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler

if TYPE_CHECKING:
    import lightning.pytorch as pl

__all__ = ["check_schedule_calls"]


def check_schedule_calls(trainer: pl.Trainer) -> None:
    """Refuse two schedules of one hyperparameter, and warn of one that is not stepped per update.

    Raises:
        ScheduleError: Two schedules drive the same hyperparameter of a parameter group; one may be
            a PyTorch scheduler or monitor a metric.
    """
    configs: list[Any] = trainer.lr_scheduler_configs
    drivers = [each for config in configs for each in _drivers(config.scheduler)]
    for one, other in combinations(drivers, 2):
        if one.optimizer is other.optimizer:
            _check_pair(*((one, other) if isinstance(one, CurveScheduler) else (other, one)))
    if not trainer.lightning_module.automatic_optimization:
        return  # the module itself moves them
    for config in configs:
        plan = config.scheduler.plan if isinstance(config.scheduler, CurveScheduler) else None
        if plan and plan.is_of_trainer and (config.interval, config.frequency) != ("step", 1):
            every = "" if config.frequency == 1 else f"{config.frequency} "
            problem = f"Lightning steps it by {every}{config.interval}"
            plan.warn_rhythm(problem)


def _drivers(scheduler: Any) -> Iterator[LRScheduler]:
    """Yield the schedulers that write hyperparameters at a step; of a chain, its members."""
    if isinstance(scheduler, ChainedScheduler):
        for each in scheduler._schedulers:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            yield from _drivers(each)
    elif isinstance(scheduler, LRScheduler):
        yield scheduler


def _check_pair(one: LRScheduler, other: LRScheduler) -> None:
    """Refuse a schedule of this package next to another one of the same hyperparameter."""
    if not isinstance(one, CurveScheduler):
        return
    name, has_rate = one.plan.name, any(place == "lr" for place, _ in one.places)
    if isinstance(other, CurveScheduler):
        shared = one.places & other.places
        if shared:
            refuse_two(name, other.plan.name, min(shared)[0])
    elif has_rate and isinstance(other, ReduceLROnPlateau):
        refuse_beside_metric(other, name)
    elif has_rate:
        refuse_two(name, type(other).__name__, "lr")
