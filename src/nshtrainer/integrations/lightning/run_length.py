"""Run length, policies and limits of a Lightning trainer, read lazily.

Lightning's `estimated_stepping_batches` is -1 or infinity if unknown, and reads the data loader
even for a run that is limited in steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast, get_args

from typing_extensions import override

from nshtrainer.exceptions import ConfigError, ScheduleError
from nshtrainer.integrations.lightning.plateau_callback import PlateauCallback
from nshtrainer.metric import MetricConfig
from nshtrainer.resume import ResumeConfig
from nshtrainer.run_context import RunContext
from nshtrainer.run_length import TICKS, LazyRunLength, samples_per_batch
from nshtrainer.types import NonFinite, ScheduleClock

__all__ = ["LightningContext", "TrainerRunLength", "run_length_of"]

# Trainers are looked at by their attributes alone: those of `lightning` and of `pytorch_lightning`
# share no class. Lazy attributes stand where the base declares plain ones:
# pyright: reportIncompatibleVariableOverride=false, reportIncompatibleMethodOverride=false

_WITH_THE_CALLBACK = (
    "use nshtrainer.Trainer, or a LightningModuleBase whose configure_callbacks keeps what its "
    "base returns"
)


class LightningContext(RunContext):
    """Policies of a trainer or of its module's hyperparameters, and limits of Lightning.

    Args:
        trainer: A Lightning trainer, or `None` for a module that has none.
        module: The module that is trained.
    """

    _trainer: Any
    _module: Any

    def __init__(self, trainer: Any, module: Any) -> None:
        # Not the base's `__init__`: it would set, and so read, every field.
        vars(self).update(_trainer=trainer, _module=module)

    @override
    def attach_check(self) -> None:
        """Add callbacks that apply found rates and check lengths and parameters, once."""
        from nshtrainer.integrations.lightning.lr_finder import FoundRates
        from nshtrainer.integrations.lightning.run_checks import LengthCheck, OwnershipCheck

        if self._trainer is not None:
            callbacks: list[Any] = self._trainer.callbacks
            ours = (FoundRates, LengthCheck, OwnershipCheck)
            callbacks += [c() for c in ours if not any(isinstance(each, c) for each in callbacks)]

    @cached_property
    def primary_metric(self) -> MetricConfig | None:
        """The `primary_metric` of the trainer, else that of the module's hyperparameters."""
        metric = self.setting("primary_metric")
        return metric if isinstance(metric, MetricConfig) else None

    @property
    def primary_metric_place(self) -> str:
        """The key of the primary metric's name in a run file."""
        is_own = getattr(self._trainer, "primary_metric", None) is None
        return f"{'model' if is_own else 'trainer'}.primary_metric.monitor"

    @cached_property
    def resume(self) -> ResumeConfig | None:
        """The `resume` of the trainer, else that of the module's hyperparameters."""
        policy = self.setting("resume")
        return policy if isinstance(policy, ResumeConfig) else None

    @cached_property
    def schedule_clock(self) -> ScheduleClock:
        """The `schedule_clock` of the trainer, else that of the module's hyperparameters."""
        return self.setting("schedule_clock", get_args(ScheduleClock))

    @cached_property
    def non_finite(self) -> NonFinite:
        """The `non_finite` of the trainer, else that of the module's hyperparameters."""
        return self.setting("non_finite", get_args(NonFinite))

    def setting(self, name: str, choices: Sequence[str] = ()) -> Any:
        """Return the trainer's setting of this name, else that of the module's hyperparameters.

        Args:
            name: The name of the setting.
            choices: The valid values, the default first.

        Raises:
            ConfigError: The value is none of the choices.
        """
        value = getattr(self._trainer, name, None)
        if value is None:
            hparams: Any = getattr(self._module, "hparams", None)
            is_mapping = isinstance(hparams, Mapping)
            value = cast("Any", hparams).get(name) if is_mapping else getattr(hparams, name, None)
        if choices and value not in (None, *choices):
            raise ConfigError(f"{name} must be one of {', '.join(choices)}; it is {value!r}")
        return choices[0] if choices and value is None else value

    @cached_property
    def plateau_problem(self) -> str | None:
        """The reason why Lightning alone would step a plateau scheduler wrongly."""
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
            "would pass stale values of the metric to the plateau scheduler, or miss some of "
            f"them; {_WITH_THE_CALLBACK}, or validate once at the end of each epoch"
        )

    @cached_property
    def observer_problem(self) -> str | None:
        """The reason why a scheduler that Lightning steps by the update would get no metric."""
        trainer = self._trainer
        if trainer is None or any(isinstance(c, PlateauCallback) for c in trainer.callbacks):
            return None
        return (
            "Lightning passes no metric to a scheduler that is stepped per update, such as a "
            f"plateau schedule with a warm-up; {_WITH_THE_CALLBACK}"
        )


class TrainerRunLength(LazyRunLength):
    """Run length of a Lightning trainer; each attribute is read on first access.

    `steps_per_epoch` needs the training data loader and sets it up; `total_steps` needs it if the
    run is limited in epochs. A run of no steps counts as one step: it uses no value of a schedule,
    and schedules refuse a length of 0.

    Args:
        trainer: A Lightning trainer, or `None` for a module that has none.
        module: The module that is trained; by default the trainer's.
    """

    _trainer: Any
    _module: Any
    context: LightningContext

    def __init__(self, trainer: Any, module: Any = None) -> None:
        module = module or getattr(trainer, "lightning_module", None)
        context = LightningContext(trainer, module)
        super().__init__(_trainer=trainer, _module=module, context=context)

    @cached_property
    def unknown_because(self) -> str | None:
        """The reason for unknown lengths if the module has no trainer."""
        if self._trainer is not None:
            return None
        return (
            f"{type(self._module).__name__} is not attached to a trainer; create the schedule in "
            "configure_optimizers, or pass RunLength(total_steps=..., steps_per_epoch=...)"
        )

    @cached_property
    def steps_per_epoch(self) -> int | tuple[int, ...] | None:
        """Updates in one epoch: its batches divided by the accumulation, rounded up.

        The last, partial accumulation of an epoch is an update, except with a strategy that
        accumulates itself (DeepSpeed). With a `GradientAccumulationScheduler` the value has one
        number for each epoch of its plan.
        """
        batches = self._batches
        if batches is None:
            return None
        up = not self._trainer.strategy.handles_gradient_accumulation
        steps = tuple(max(1, (batches + (every - 1) * up) // every) for every in self._accumulation)
        return steps if len(set(steps)) > 1 else steps[0]

    @cached_property
    def total_steps(self) -> int | None:
        """The smaller of `max_steps` and the steps of `max_epochs`, as far as known.

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
        """Return the run length with `max_time` as its length, if nothing else limits the run."""
        trainer = self._trainer
        if trainer is None or trainer.max_steps != -1 or trainer.max_epochs not in {None, -1}:
            return None
        for timer in trainer.callbacks:
            if hasattr(timer, "time_remaining") and timer.time_remaining() is not None:
                total = timer.time_elapsed() + timer.time_remaining()
                return self.replace(total_time=total, total_steps=TICKS)
        return None

    @cached_property
    def samples_per_step(self) -> float | None:
        """Samples per update from the trainer or the hyperparameters, else from the loader.

        The loader's `batch_size` is multiplied by the accumulation and the number of processes with
        separate data; a smaller last batch counts as a whole one.
        """
        given = self.context.setting("samples_per_step")
        if given is not None or self._batches is None or len(set(self._accumulation)) > 1:
            return given
        batch = samples_per_batch(self._trainer.train_dataloader)
        # Processes that split tensors share their samples.
        sampler: Any = getattr(self._trainer.strategy, "distributed_sampler_kwargs", {})
        num_shares = sampler.get("num_replicas", self._trainer.world_size)
        return batch and batch * self._accumulation[0] * num_shares

    @cached_property
    def tokens_per_step(self) -> float | None:
        """Tokens per update from the trainer or the hyperparameters."""
        return self.context.setting("tokens_per_step")

    @cached_property
    def shortened(self) -> str | None:
        """The setting that shortens this run on purpose."""
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

    @property
    def _batches(self) -> int | None:
        """Training batches in an epoch on this device; sets up the data loader."""
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
        """Optimizers whose steps the trainer counts together, as far as they exist."""
        if getattr(self._module, "automatic_optimization", True):
            return 1
        return max(1, len(self._trainer.optimizers))

    @property
    def _accumulation(self) -> tuple[int, ...]:
        """Batches per update, one number per epoch; the last one repeats."""
        for callback in self._trainer.callbacks:
            factor_of = getattr(callback, "get_accumulate_grad_batches", None)
            if factor_of is not None:
                return tuple(factor_of(epoch) for epoch in range(max(callback.epochs) + 1))
        return (self._trainer.accumulate_grad_batches,)


def run_length_of(source: Any) -> TrainerRunLength:
    """Return the run length of a Lightning trainer, or of the trainer of a Lightning module.

    For a module without a trainer every length is `None`.

    Args:
        source: A `Trainer` or a `LightningModule`.

    Raises:
        ScheduleError: The source is neither.
    """
    if not hasattr(source, "configure_optimizers"):
        if hasattr(source, "fit_loop"):
            return TrainerRunLength(source)
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
