"""`create`: build an optimizer and its scheduler from their configs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from nshtrainer.config.named import NamedConfig
from nshtrainer.config_arguments import kind_of, read_config
from nshtrainer.exceptions import ArgumentError, OptimizerError
from nshtrainer.lr_scheduler.base import LRSchedulerConfigBase, lr_scheduler_registry
from nshtrainer.optimizer.base import OptimizerConfigBase, Params, optimizer_registry
from nshtrainer.optimizer.build import build_optimizer
from nshtrainer.optimizer_record import get_requirements
from nshtrainer.run_length import RunLength, run_length_of

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


__all__ = ["create"]

_Data: TypeAlias = str | Mapping[str, Any]
"""A config as a file writes it: the name alone, or a mapping with it."""


@overload
def create(
    optimizer_config: OptimizerConfigBase | _Data,
    scheduler_config: LRSchedulerConfigBase | _Data,
    model: Params,
    run: RunLength | Any = None,
) -> tuple[Optimizer, LRScheduler]: ...
@overload
def create(
    optimizer_config: OptimizerConfigBase | _Data,
    scheduler_config: None,
    model: Params,
    run: Any = None,
) -> tuple[Optimizer, None]: ...
def create(
    optimizer_config: OptimizerConfigBase | _Data,
    scheduler_config: LRSchedulerConfigBase | _Data | None,
    model: Params | None = None,
    run: RunLength | Any = None,
) -> tuple[Optimizer, LRScheduler | None]:
    """Build the optimizer of a model and its scheduler: two torch objects, for any loop.

    Call `scheduler.step()` after each `optimizer.step()`; a scheduler that depends on a metric
    takes it once an epoch, as `scheduler.step(metric)`. `scheduler_config.metadata()` returns the
    interval and the metric.

    Args:
        optimizer_config: The config of the optimizer, or what a file has in its place: a mapping
            with its name, or the name alone.
        scheduler_config: The config of the schedule, likewise; `None` for none.
        model: The module to train, after it was sharded, compiled or moved. Other arguments of
            torch's optimizers are accepted as well.
        run: The length of the run: a `RunLength`, or a module or trainer of Lightning or of
            transformers. A schedule in steps needs none.

    Returns:
        The optimizer, and the scheduler or `None`.

    Raises:
        ArgumentError: An argument is of another kind, or two are swapped.
        ConfigError: A mapping or a name describes no valid config.
        OptimizerError: The config does not fit the model, or the trainer.
        ScheduleError: The schedule does not fit the run, or the length of the run is unknown.

    >>> import torch
    >>> from nshtrainer.configs import AdamWConfig, CosineScheduleConfig
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer, scheduler = create(
    ...     AdamWConfig(lr=0.1), CosineScheduleConfig(), model, RunLength(total_steps=10)
    ... )
    >>> for _ in range(5):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.05]
    """
    config = read_config(optimizer_registry, optimizer_config, _ORDER)
    schedule = None
    if scheduler_config is not None:
        schedule = read_config(lr_scheduler_registry, scheduler_config, _ORDER)
    if model is None or isinstance(model, (RunLength, NamedConfig)):
        raise ArgumentError(f"create: the model is {kind_of(model)}; write {_ORDER}")
    length = RunLength() if run is None else run_length_of(run)
    optimizer = build_optimizer(config, model, run=length)
    problem = length.context.loop_problem
    if problem is not None and any(get_requirements(optimizer)):
        raise OptimizerError(f"{config.name} cannot work here: {problem}")
    length.context.attach_check()
    if schedule is None:
        return optimizer, None
    source = length if run is None else run
    return optimizer, schedule.create_scheduler(optimizer, source)["scheduler"]


_ORDER = "create(optimizer_config, scheduler_config, model, run)"
