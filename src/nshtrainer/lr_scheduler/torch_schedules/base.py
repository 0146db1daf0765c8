"""Base of PyTorch's schedulers as configs, which count optimizer steps or epochs."""

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
Anneal: TypeAlias = Literal["cos", "linear"]

BETWEEN: dict[Anneal, Literal["cosine", "linear"]] = {"cos": "cosine", "linear": "linear"}
"""The interpolation of a curve by PyTorch's name for it."""


class TorchScheduleConfigBase(CurveScheduleConfigBase):
    """A PyTorch scheduler as a curve: write `counted`, a function of PyTorch's `last_epoch`.

    The class is named after PyTorch's, and has the arguments of its constructor as fields, with
    their defaults; a count t begins at 0. With the unit `epoch` the value changes at the first step
    of each epoch. The driver moves by the step in either case.
    """

    unit: Unit = "step"
    """Unit of the numbers: steps of the optimizer, or epochs. Within another PyTorch scheduler,
    `step` is the unit of that scheduler."""

    @abstractmethod
    def counted(self, run: RunLength) -> Curve:
        """Return the factor as a function of the counts so far.

        Args:
            run: The length of the run, in counts.
        """

    @final
    def curve(self, run: RunLength) -> Curve:
        """Return the factor as a function of the step."""
        return self.in_steps(self.counted, run)

    def in_steps(self, counted: Callable[[RunLength], Curve], run: RunLength) -> Curve:
        """Return a function of the counts as one of the steps.

        Raises:
            RunLengthError: The unit is `epoch`, and the length of an epoch is unknown.
        """
        if self.unit == "step":
            return counted(run)
        return Staircase(counted(in_epochs(run)), epochs_of(run))


def epochs_of(run: RunLength) -> Epochs:
    """Return the starts of the epochs of a run.

    Raises:
        RunLengthError: The length of an epoch is unknown.
    """
    steps = run.steps_per_epoch
    if steps is None:
        limit = run.remedy(plain="", trainer="set limit_train_batches to a number of batches, ")
        why = run.unknown_because or (
            f"the number of steps per epoch is unknown; count steps (unit: step), {limit}or pass "
            "RunLength(steps_per_epoch=...)"
        )
        raise RunLengthError(f"unit: epochs cannot be counted, because {why}")
    if run.context.start and isinstance(steps, tuple):
        epoch = EpochsConfig(value=1.0), "unit"
        return shifted([sum(parts) for parts in periods([epoch], run, 0)], 0)
    return Epochs(steps if isinstance(steps, tuple) else (steps,))


def in_epochs(run: RunLength) -> RunLength:
    """Return a run in which a step is an epoch, without samples per step, which may vary."""
    total = run.total_steps
    epochs = None if total is None else epochs_of(run).of(total - 1) + 1
    return run.replace(
        total_steps=epochs, steps_per_epoch=1, start=0, samples_per_step=None, tokens_per_step=None
    )


def least(run: RunLength, rate: float) -> float:
    """Return the factor of a least rate; a rate of 0 needs no base rate.

    Raises:
        RunLengthError: The base rate is unknown.
        ScheduleError: The rate is above the base rate.
    """
    return run.factor_of(rate, "eta_min") if rate else 0.0


def factor(run: RunLength, rate: float, field: str) -> float:
    """Return the factor that makes an absolute rate of the base rate; it may be above 1.

    Raises:
        RunLengthError: The base rate is unknown.
        ScheduleError: The base rate is 0.
    """
    base = run.context.base_lr
    return rate / base if base else run.factor_of(rate, field)


def refusal(text: str, **values: object) -> PydanticCustomError:
    """Return the error for inconsistent options; its text may name values."""
    return PydanticCustomError("torchs_options", text, values)  # type: ignore[arg-type]


def _increasing(counts: tuple[int, ...]) -> tuple[int, ...]:
    if all(one < other for one, other in pairwise(counts)):
        return counts
    given = ", ".join(map(str, counts))
    raise refusal("each must come after the one before (got {counts})", counts=given)


Milestones = Annotated[tuple[NonNegativeInt, ...], AfterValidator(_increasing)]
"""Counts in order, none of them twice."""
