"""The run length of a Lightning trainer, read only as far as a schedule asks.

Lightning's own `estimated_stepping_batches` answers -1 or infinity where it does not know, and
reads the data loader even for a run that is limited in steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast, get_args

from typing_extensions import override

from nshtrainer.exceptions import ConfigError, ScheduleError
from nshtrainer.integrations.lightning.plateau_callback import PlateauCallback
from nshtrainer.metric import MetricConfig
from nshtrainer.resume import ResumeConfig
from nshtrainer.run_length import TICKS, LazyRunLength, RunLength
from nshtrainer.types import NonFinite, ScheduleClock

__all__ = ["TrainerRunLength", "run_length_of"]

# Trainers are looked at by their attributes alone: those of `lightning` and of `pytorch_lightning`
# share no class. Lazy attributes stand where the base declares plain ones:
# pyright: reportIncompatibleVariableOverride=false


_WITH_THE_CALLBACK = (
    "use nshtrainer.Trainer, or a LightningModuleBase whose configure_callbacks keeps what its "
    "base returns"
)


class TrainerRunLength(LazyRunLength):
    """What a trainer knows of its run; each attribute is read when it is first asked for.

    `steps_per_epoch` needs the training data loader and sets it up; `total_steps` needs it where
    the run is limited in epochs. A run of no steps at all counts as one step: it uses no value of a
    schedule, and a length of 0 would only be in the way.

    Args:
        trainer: A Lightning trainer, or `None` for a module that has none.
        module: The module that is trained; left out, the trainer's.
    """

    _trainer: Any
    _module: Any

    def __init__(self, trainer: Any, module: Any = None) -> None:
        super().__init__(
            _trainer=trainer, _module=module or getattr(trainer, "lightning_module", None)
        )

    @cached_property
    def unknown_because(self) -> str | None:
        """Why nothing is known, where the module has no trainer."""
        if self._trainer is not None:
            return None
        return (
            f"{type(self._module).__name__} is not attached to a trainer; create the schedule in "
            "configure_optimizers, or pass RunLength(total_steps=..., steps_per_epoch=...)"
        )

    @cached_property
    def steps_per_epoch(self) -> int | tuple[int, ...] | None:
        """Updates in one epoch: its batches divided by the accumulation, rounded up.

        The last, partial accumulation of an epoch is an update of its own, except with a strategy
        that accumulates by itself (DeepSpeed). With a `GradientAccumulationScheduler` it is one
        number an epoch, as far as its plan goes.
        """
        batches = self._batches
        if batches is None:
            return None
        plan = self._accumulation
        steps = tuple(max(1, self._updates(batches, every)) for every in plan)
        return steps if len(set(steps)) > 1 else steps[0]

    @cached_property
    def total_steps(self) -> int | None:
        """The least of `max_steps` and the steps of `max_epochs`, as far as these are known.

        With manual optimization `max_steps` counts the steps of all optimizers together.
        """
        if self._trainer is None:
            return None
        most = self._trainer.max_steps
        limits = [] if most == -1 else [-(-most // self.num_optimizers)]
        epochs = self._trainer.max_epochs
        steps = None if epochs in {None, -1} else self.steps_in_epochs(epochs)
        if steps is not None:
            limits.append(int(steps))
        return max(1, min(limits)) if limits else None

    @override
    def by_time(self) -> TrainerRunLength | None:
        """The run with its `max_time` as its length, where nothing else limits it."""
        trainer = self._trainer
        if trainer is None or trainer.max_steps != -1 or trainer.max_epochs not in {None, -1}:
            return None
        for timer in trainer.callbacks:
            if hasattr(timer, "time_remaining") and timer.time_remaining() is not None:
                total = timer.time_elapsed() + timer.time_remaining()
                return self.but(total_time=total, total_steps=TICKS)
        return None

    @override
    def attach_check(self) -> None:
        """Add callbacks that spread found rates and look at lengths and parameters, once."""
        from nshtrainer.integrations.lightning.length_check import LengthCheck
        from nshtrainer.integrations.lightning.lr_finder import FoundRates
        from nshtrainer.integrations.lightning.ownership_check import OwnershipCheck

        if self._trainer is not None:
            callbacks: list[Any] = self._trainer.callbacks
            ours = (FoundRates, LengthCheck, OwnershipCheck)
            callbacks += [c() for c in ours if not any(isinstance(each, c) for each in callbacks)]

    @override
    def known(self) -> RunLength:
        """What was asked for by now, and the policy of a resume, without the trainer."""
        return super().known().but(resume=self.resume)

    @cached_property
    def samples_per_step(self) -> float | None:
        """What the trainer or the hyperparameters say, else what the loader, times the devices.

        With batches of the loader's `batch_size`, times accumulation and processes that have data
        of their own; a last batch that is smaller counts as a whole one.
        """
        told = self._told("samples_per_step")
        if told is not None or self._batches is None or len(set(self._accumulation)) > 1:
            return told
        loader = self._trainer.train_dataloader
        batch = getattr(loader, "batch_size", None)
        if batch is None:
            batch = getattr(getattr(loader, "batch_sampler", None), "batch_size", None)
        return batch and batch * self._accumulation[0] * _num_shares(self._trainer)

    @cached_property
    def tokens_per_step(self) -> float | None:
        """What the trainer or the hyperparameters say: nobody else knows."""
        return self._told("tokens_per_step")

    @cached_property
    def shortened(self) -> str | None:
        """The setting that makes this run shorter than it is meant to be."""
        trainer = self._trainer
        if trainer is None:
            return None
        if trainer.fast_dev_run:
            return "fast_dev_run"
        if trainer.overfit_batches:
            return "overfit_batches"
        limit = trainer.limit_train_batches
        if isinstance(limit, int) or limit != 1.0:
            return f"limit_train_batches={limit}"
        names = [name for name in ("max_epochs", "max_steps") if getattr(trainer, name) == 0]
        return f"{names[0]}=0" if names else None

    @cached_property
    def primary_metric(self) -> MetricConfig | None:
        """The `primary_metric` of the trainer, else that of the module's hyperparameters."""
        told = self._told("primary_metric")
        return told if isinstance(told, MetricConfig) else None

    @cached_property
    def resume(self) -> ResumeConfig | None:
        """The `resume` of the trainer, else that of the module's hyperparameters."""
        told = self._told("resume")
        return told if isinstance(told, ResumeConfig) else None

    @cached_property
    def schedule_clock(self) -> ScheduleClock:
        """The `schedule_clock` of the trainer, else that of the module's hyperparameters."""
        return self._chosen("schedule_clock", ScheduleClock)

    @cached_property
    def non_finite(self) -> NonFinite:
        """The `non_finite` of the trainer, else that of the module's hyperparameters."""
        return self._chosen("non_finite", NonFinite)

    def _chosen(self, name: str, kind: Any) -> Any:
        """What is told of some choices, of which the first is the default.

        Raises:
            ConfigError: It is none of them.
        """
        told, choices = self._told(name), get_args(kind)
        if told not in (None, *choices):
            raise ConfigError(f"{name} must be one of {', '.join(choices)}; it is {told!r}")
        return told or choices[0]

    def _told(self, name: str) -> Any:
        """What the trainer says under a name, else what the module's hyperparameters say."""
        own = getattr(self._trainer, name, None)
        hparams = getattr(self._module, "hparams", None)
        if own is None and isinstance(hparams, Mapping):
            return cast("Mapping[str, Any]", hparams).get(name)
        return getattr(hparams, name, None) if own is None else own

    @cached_property
    def plateau_problem(self) -> str | None:
        """Why Lightning alone would feed a plateau scheduler wrongly with these settings."""
        trainer = self._trainer
        if trainer is None or self.observer_problem is None:
            return None
        every = trainer.check_val_every_n_epoch
        # A trainer that validates by the clock has no such attribute.
        within = getattr(trainer, "val_check_interval", "a time")
        if every == 1 and isinstance(within, float) and within == 1.0:
            return None
        return (
            f"with check_val_every_n_epoch={every} and val_check_interval={within} Lightning "
            "would show the plateau scheduler stale values of its metric, or miss some of them; "
            f"{_WITH_THE_CALLBACK}, or validate once at the end of each epoch"
        )

    @cached_property
    def observer_problem(self) -> str | None:
        """Why nobody would show its metric to a scheduler that Lightning steps by the update."""
        trainer = self._trainer
        if trainer is None or any(isinstance(c, PlateauCallback) for c in trainer.callbacks):
            return None
        return (
            "Lightning shows no metric to a scheduler that moves by the step, as one with a "
            f"warm-up or a schedule beside its metric does; {_WITH_THE_CALLBACK}"
        )

    @property
    def _batches(self) -> int | None:
        """Training batches in an epoch, on this device; it sets up the data loader."""
        trainer = self._trainer
        if trainer is None:
            return None
        if trainer.limit_train_batches == 0:
            return 0
        trainer.fit_loop.setup_data()
        batches = trainer.num_training_batches
        return None if math.isinf(batches) else int(batches)

    @property
    def num_optimizers(self) -> int:
        """Optimizers whose steps the trainer counts together, as far as they are there."""
        if getattr(self._module, "automatic_optimization", True):
            return 1
        return max(1, len(self._trainer.optimizers))

    @property
    def _accumulation(self) -> tuple[int, ...]:
        """Batches an update, one number an epoch, of which the last repeats."""
        for callback in self._trainer.callbacks:
            factor_of = getattr(callback, "get_accumulate_grad_batches", None)
            if factor_of is not None:
                return tuple(factor_of(epoch) for epoch in range(max(callback.epochs) + 1))
        return (self._trainer.accumulate_grad_batches,)

    def _updates(self, batches: int, every: int) -> int:
        if self._trainer.strategy.handles_gradient_accumulation:
            return batches // every
        return -(-batches // every)


def _num_shares(trainer: Any) -> int:
    """How many processes have samples of their own; those that split tensors share theirs."""
    sampler: dict[str, Any] = getattr(trainer.strategy, "distributed_sampler_kwargs", {})
    return sampler.get("num_replicas", trainer.world_size)


def run_length_of(source: Any) -> TrainerRunLength:
    """The run length of a Lightning trainer, or of the trainer of a Lightning module.

    A module without a trainer is told nothing: every length is `None`.

    Args:
        source: A `Trainer` or a `LightningModule`.

    Raises:
        ScheduleError: It is neither.
    """
    if hasattr(source, "fit_loop"):
        return TrainerRunLength(source)
    if not hasattr(source, "configure_optimizers"):
        raise ScheduleError(
            f"the run length of a {type(source).__qualname__} is unknown; pass the "
            "LightningModule, its Trainer, or RunLength(total_steps=..., steps_per_epoch=...)"
        )
    try:
        trainer = source.trainer
    except RuntimeError:  # what Lightning raises for a module that has none
        trainer = None
    # With Fabric there is something in the trainer's place that has no loop.
    return TrainerRunLength(trainer if hasattr(trainer, "fit_loop") else None, source)
