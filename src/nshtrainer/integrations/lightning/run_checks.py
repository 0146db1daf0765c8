"""Checks of a Lightning run: its length, the calls of its schedules, parameters without updates."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
from lightning.pytorch import Callback
from torch.optim.lr_scheduler import ChainedScheduler, LRScheduler, ReduceLROnPlateau
from typing_extensions import final, override

from nshtrainer.exceptions import NshtrainerWarning
from nshtrainer.lr_scheduler.driver.optimizer_hooks import refuse_beside_metric, refuse_two
from nshtrainer.lr_scheduler.driver.scheduler import CurveScheduler
from nshtrainer.optimizer.parameter_checks import ownership_problems
from nshtrainer.optimizer_record import parts_of, record_of
from nshtrainer.run_length import RunLength, run_length_of

if TYPE_CHECKING:
    import lightning.pytorch as pl

__all__ = ["LengthCheck", "OwnershipCheck", "check_schedule_calls"]


@final
class LengthCheck(Callback):
    """Callback that compares the assumed run length at the start, each epoch, and the end.

    Schedules are resolved when optimizers are configured. Until the first step they are resolved
    again if a length has changed, for example by a batch-size finder. Later a difference is a
    warning, the first time and at the end. A second `fit` of a trainer continues its run: new
    schedules start at the trainer's current step. A schedule attaches this callback automatically.
    """

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Resolve schedules again for lengths that a callback has changed; check their calls."""
        for scheduler in _schedulers(trainer):
            scheduler.plan.begin_run()
        check_schedule_calls(trainer)
        self._resolve_again(trainer, pl_module)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Resolve schedules again after all start hooks, and move them to the trainer's step."""
        self._resolve_again(trainer, pl_module)
        _compare_batch(trainer, pl_module)
        if trainer.ckpt_path is not None:  # a checkpoint has the positions
            return
        run: Any = run_length_of(pl_module)
        begin = trainer.global_step // run.num_optimizers
        for scheduler in _schedulers(trainer):
            if scheduler.last_epoch:
                scheduler.plan.warn_used(scheduler.last_epoch, run, begin)
            elif begin:
                scheduler.step(begin)

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the start of the epoch, its length and the run length with the assumed ones."""
        self._resolve_again(trainer, pl_module)
        run = run_length_of(pl_module)
        for scheduler in _schedulers(trainer):
            if scheduler.plan.run.steps_per_epoch is not None:
                _compare(trainer, pl_module, scheduler, run)
            total = scheduler.plan.run.total_steps
            if total is not None and run.total_steps not in {None, total}:
                text = f"{total} steps, but the run has {run.total_steps} now"
                scheduler.plan.warn_difference(text)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare the number of steps with the assumed one, allowing for an early stop."""
        for scheduler in _schedulers(trainer):
            made = _steps(trainer, pl_module, scheduler)
            if made is not None:
                scheduler.plan.check_end(
                    made, _advice(made, pl_module), was_stopped=trainer.should_stop
                )

    def _resolve_again(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        for scheduler in _schedulers(trainer):
            run = run_length_of(module)
            if scheduler.last_epoch == 0 and scheduler.plan.differs_from(run):
                scheduler.resolve_again(run)


def _schedulers(trainer: pl.Trainer) -> list[CurveScheduler]:
    """Return the step-based schedules whose run length was read from the trainer."""
    found: list[Any] = [config.scheduler for config in trainer.lr_scheduler_configs]
    ours = (each for each in found if isinstance(each, CurveScheduler))
    return [each for each in ours if each.plan.is_of_trainer and each.plan.run.total_time is None]


def _compare_batch(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """Warn if a learning rate was scaled for another batch size than the run's."""
    sizes = {record_of(part).batch_size for each in trainer.optimizers for part in parts_of(each)}
    run = run_length_of(module)
    for size in sizes - {None}:
        if run.samples_per_step not in {None, size}:
            warnings.warn(
                f"lr_scaling: the rate was scaled for steps of {size:g} samples, but they have "
                f"{run.samples_per_step:g}. Choose the batch size before fit, for example with "
                "Tuner.scale_batch_size.",
                NshtrainerWarning,
                stacklevel=2,
            )


def _compare(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    scheduler: CurveScheduler,
    run: RunLength,
) -> None:
    epoch, plan = trainer.current_epoch, scheduler.plan.run
    made, assumed = _steps(trainer, module, scheduler), plan.steps_in_epochs(epoch) or 0
    length, now = (_epoch(lengths, epoch) for lengths in (plan, run))
    if made is None:
        return
    if made != assumed:
        text = f"{assumed} steps before epoch {epoch}, but there were {made}"
    elif now not in (None, length):
        text = f"{length} steps in epoch {epoch}, but it has {now}"
    else:
        return
    epochs = trainer.max_epochs or -1
    if plan.total_steps and epochs != -1 and module.automatic_optimization:
        left = f"{epochs - epoch} epoch{'s' * (epochs - epoch > 1)} to come"
        text = f"{text}; {plan.total_steps} steps were planned, and {made} are done with {left}"
    scheduler.plan.warn_difference(text, _advice(made, module))


def _steps(
    trainer: pl.Trainer, module: pl.LightningModule, scheduler: CurveScheduler
) -> int | None:
    """Count the steps so far; in manual optimization only the schedule knows its own."""
    if module.automatic_optimization:
        return trainer.global_step
    if scheduler.plan.run.context.schedule_clock != "optimizer_steps":
        return None
    skipped = max(group.get("skipped", 0) for group in scheduler.optimizer.param_groups)
    return scheduler.last_epoch + int(skipped)


def _advice(made: int, module: pl.LightningModule) -> str | None:
    """Return the remedy if steps were counted by the schedule itself, or none were made."""
    if made and module.automatic_optimization:
        return None
    more = ", or pass RunLength(total_steps=...) to create_scheduler" if made else ""
    return f"Call the scheduler's step() after each step of its optimizer{more}"


def _epoch(run: Any, epoch: int) -> int | None:
    """Return the number of steps in one epoch, counted from 0."""
    begin, end = run.steps_in_epochs(epoch), run.steps_in_epochs(epoch + 1)
    return None if end is None else end - begin


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


@final
class OwnershipCheck(Callback):
    """Callback that warns once an epoch of trainable parameters without an optimizer.

    Frozen parameters in an optimizer are reported too. `LightningModuleBase` and
    `nshtrainer.Trainer` attach this callback; under Lightning's own `Trainer` an optimizer that is
    created with the module, in `configure_optimizers`, attaches it.
    """

    def __init__(self) -> None:
        self._is_checked = True
        self._reported: set[str] = set()

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the reports of another run."""
        self._reported.clear()

    @override
    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Request a check at the first batch, after all callbacks have frozen their parameters."""
        self._is_checked = False

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Report each problem once."""
        if self._is_checked:
            return
        self._is_checked = True
        problems = ownership_problems(trainer.optimizers, pl_module)
        for problem in problems if trainer.is_global_zero else ():
            if problem not in self._reported:
                self._reported.add(problem)
                warnings.warn(problem, NshtrainerWarning, stacklevel=2)
