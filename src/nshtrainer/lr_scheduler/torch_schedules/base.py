"""What torch's own schedulers share: torch counts calls of `step()`, and `unit` says of what."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Literal, TypeAlias, final

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from nshtrainer.duration import EpochsConfig
from nshtrainer.exceptions import RunLengthError
from nshtrainer.lr_scheduler.curve_schedule import CurveScheduleConfigBase
from nshtrainer.lr_scheduler.curves import Epochs, Staircase
from nshtrainer.lr_scheduler.schedules.periods import periods, shifted
from nshtrainer.lr_scheduler.track import Curve
from nshtrainer.run_length import RunLength
from nshtrainer.types import NonNegativeInt

__all__ = ["TorchScheduleConfigBase"]

Unit: TypeAlias = Literal["step", "epoch"]


class TorchScheduleConfigBase(CurveScheduleConfigBase):
    """A scheduler of torch's as a curve: write `counted`, a function of torch's `last_epoch`.

    With the unit `epoch` the value changes at the first update of each epoch. The driver moves by
    the update in either case.
    """

    unit: Unit = "step"
    """What the numbers count: updates of the optimizer, or epochs. In a part of another of torch's
    schedulers `step` is what that one counts."""

    @abstractmethod
    def counted(self, run: RunLength) -> Curve:
        """The factor as a function of the counts so far.

        Args:
            run: The length of the run, in counts.
        """

    @final
    def curve(self, run: RunLength) -> Curve:
        """The factor as a function of the step."""
        return self.in_steps(self.counted, run)

    def in_steps(self, counted: Callable[[RunLength], Curve], run: RunLength) -> Curve:
        """A function of the counts as one of the steps.

        Raises:
            RunLengthError: Epochs are counted, and nobody knows how long one is.
        """
        if self.unit == "step":
            return counted(run)
        return Staircase(counted(in_epochs(run)), epochs_of(run))


def epochs_of(run: RunLength) -> Epochs:
    """Where the epochs of a run begin.

    Raises:
        RunLengthError: Nobody knows how long one is.
    """
    steps = run.steps_per_epoch
    if steps is None:
        why = run.unknown_because or (
            "the number of steps per epoch is unknown; count steps (unit: step), set "
            "limit_train_batches to a number of batches, or pass RunLength(steps_per_epoch=...)"
        )
        raise RunLengthError(f"unit: epochs cannot be counted, because {why}")
    if run.start and isinstance(steps, tuple):
        return shifted([sum(parts) for parts in periods([(_EPOCH, "unit")], run, 0)], 0)
    return Epochs(steps if isinstance(steps, tuple) else (steps,))


_EPOCH = EpochsConfig(value=1.0)


def in_epochs(run: RunLength) -> RunLength:
    """The run as it looks where a step is an epoch; how many samples that has may change."""
    total = run.total_steps
    epochs = None if total is None else epochs_of(run).of(total - 1) + 1
    return run.but(
        total_steps=epochs, steps_per_epoch=1, start=0, samples_per_step=None, tokens_per_step=None
    )


def _increasing(counts: tuple[int, ...]) -> tuple[int, ...]:
    if all(one < other for one, other in pairwise(counts)):
        return counts
    raise PydanticCustomError(
        "not_increasing",
        "each must come after the one before (got {counts})",
        {"counts": ", ".join(map(str, counts))},
    )


Milestones = Annotated[tuple[NonNegativeInt, ...], AfterValidator(_increasing)]
"""Counts in their order, none of them twice."""


# -- absolute rates --------------------------------------------------------------------------------


def least(run: RunLength, rate: float) -> float:
    """The factor of a least rate; of 0 it can be said without the base rate.

    Raises:
        RunLengthError: The base rate is unknown.
        ScheduleError: The rate is above the base rate.
    """
    return run.factor_of(rate, "eta_min") if rate else 0.0


def factor(run: RunLength, rate: float, field: str) -> float:
    """The factor that brings the base rate to an absolute one, which may be above it.

    Raises:
        RunLengthError: The base rate is unknown.
        ScheduleError: It is 0, and no factor brings it anywhere.
    """
    return rate / run.base_lr if run.base_lr else run.factor_of(rate, field)
