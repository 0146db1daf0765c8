"""Policies and limits of a Lightning trainer, read lazily."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast, get_args

from typing_extensions import override

from nshtrainer.exceptions import ConfigError
from nshtrainer.integrations.lightning.plateau_callback import PlateauCallback
from nshtrainer.metric import MetricConfig
from nshtrainer.resume import ResumeConfig
from nshtrainer.run_context import RunContext
from nshtrainer.types import NonFinite, ScheduleClock

__all__ = ["LightningContext"]

# Lazy attributes stand where the base declares plain ones:
# pyright: reportIncompatibleVariableOverride=false

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
        from nshtrainer.integrations.lightning.length_check import LengthCheck
        from nshtrainer.integrations.lightning.lr_finder import FoundRates
        from nshtrainer.integrations.lightning.ownership_check import OwnershipCheck

        if self._trainer is not None:
            callbacks: list[Any] = self._trainer.callbacks
            ours = (FoundRates, LengthCheck, OwnershipCheck)
            callbacks += [c() for c in ours if not any(isinstance(each, c) for each in callbacks)]

    @cached_property
    def primary_metric(self) -> MetricConfig | None:
        """The `primary_metric` of the trainer, else that of the module's hyperparameters."""
        told = self.told("primary_metric")
        return told if isinstance(told, MetricConfig) else None

    @cached_property
    def resume(self) -> ResumeConfig | None:
        """The `resume` of the trainer, else that of the module's hyperparameters."""
        told = self.told("resume")
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
        """Return the chosen setting; the first choice is the default.

        Raises:
            ConfigError: The value is none of the choices.
        """
        told, choices = self.told(name), get_args(kind)
        if told not in (None, *choices):
            raise ConfigError(f"{name} must be one of {', '.join(choices)}; it is {told!r}")
        return told or choices[0]

    def told(self, name: str) -> Any:
        """Return the trainer's setting of this name, else that of the module's hyperparameters."""
        own = getattr(self._trainer, name, None)
        hparams = getattr(self._module, "hparams", None)
        if own is None and isinstance(hparams, Mapping):
            return cast("Mapping[str, Any]", hparams).get(name)
        return getattr(hparams, name, None) if own is None else own

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
