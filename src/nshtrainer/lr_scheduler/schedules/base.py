"""Bases of schedules: a warm-up, a minimum, an end, and a decay up to the end."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, TypeVar, cast, final

from pydantic import model_validator
from typing_extensions import Self

from nshtrainer.duration import (
    AnyDuration,
    DurationField,
    FractionConfig,
    Position,
    StepsConfig,
)
from nshtrainer.exceptions import RunLengthError
from nshtrainer.lr_scheduler.curve_schedule import CurveScheduleConfigBase
from nshtrainer.lr_scheduler.curves import FALLS, Decay, Override, Warmup
from nshtrainer.lr_scheduler.schedules.checks import too_long
from nshtrainer.lr_scheduler.schedules.field_types import (
    DecayShape,
    MinFactor,
    MinRate,
    WarmupField,
    WarmupShape,
)
from nshtrainer.lr_scheduler.track import Curve
from nshtrainer.run_length import RunLength
from nshtrainer.types import NonNegative

__all__ = [
    "DecayScheduleConfigBase",
    "EndlessScheduleConfigBase",
    "FiniteScheduleConfigBase",
    "MinimumScheduleConfigBase",
    "WarmupScheduleConfigBase",
]

# -- a warm-up -------------------------------------------------------------------------------------


class WarmupScheduleConfigBase(CurveScheduleConfigBase):
    """A schedule with an optional warm-up: write `after_warmup`, which counts from its end.

    At update t of W warm-up updates the factor is s + (p - s) r(t / W): s is the start factor, p
    the first value after the warm-up, and r rises from 0 to 1 in the shape of the warm-up.

    Reference for `untuned`: J. Ma, D. Yarats, "On the Adequacy of Untuned Warmup for Adaptive
    Optimization", arXiv 1910.04209.
    """

    example = "warmup_duration: 10%"

    warmup_duration: WarmupField = cast("Any", StepsConfig(value=0))
    """Duration of the initial rise; `untuned` takes 2 / (1 - beta2) steps of the optimizer."""

    warmup_start_factor: NonNegative | Literal["auto"] = "auto"
    """Factor at the first update; `auto` is 1 / (W + 1), so that no update is spent at 0."""

    warmup_start_lr: NonNegative | None = None
    """The same as an absolute rate, instead of `warmup_start_factor`."""

    warmup_shape: WarmupShape = "linear"
    """Shape of the rise: linear, cosine, or slow at first (exponential, 1-sqrt)."""

    @abstractmethod
    def after_warmup(self, run: RunLength, warmup: int) -> Curve:
        """Return the factor after the warm-up, as a function of the steps since its end.

        Args:
            run: The length of the run.
            warmup: The number of warm-up steps.
        """

    @final
    def curve(self, run: RunLength) -> Curve:
        """Return the warm-up, followed by the schedule."""
        whole = self.whole_duration()
        if whole is not None:
            fitting_warmup(self.warmup_duration, whole, run)
        warmup = math.ceil(self.warmup_end(run))
        main = self.after_warmup(run, warmup)
        if warmup == 0:
            return main
        return Warmup(main, warmup, self._start(run, warmup), shape=self.warmup_shape)

    def warmup_end(self, run: RunLength) -> Position:
        """Return the exact end of the warm-up; the next whole step is the first one after it."""
        end, whole = warmup_end(self.warmup_duration, run), self.whole_duration()
        return end if whole is None else min(end, whole.resolve(run, "max_duration"))

    def whole_duration(self) -> AnyDuration | None:
        """Return the duration that the warm-up must fit into, if there is one."""
        return None

    def minimum(self, run: RunLength) -> float:
        """Return the least factor of a schedule that has the fields of a minimum."""
        return minimum_of(self, run)

    def _start(self, run: RunLength, warmup: int) -> float:
        if self.warmup_start_lr is not None:
            return run.factor_of(self.warmup_start_lr, "warmup_start_lr")
        start = self.warmup_start_factor
        return 1 / (warmup + 1) if start == "auto" else start

    @model_validator(mode="after")
    def _check_exclusive(self) -> Self:
        return _refuse_both(self)


def warmup_end(warmup: AnyDuration | Literal["untuned"], run: RunLength) -> Position:
    """Return the exact length of a warm-up; `untuned` derives it from beta2, rounded up.

    >>> warmup_end("untuned", RunLength(beta2=0.999))
    2000

    Raises:
        RunLengthError: The warm-up is untuned, and beta2 is unknown or the length of the run is a
            time.
    """
    if warmup != "untuned":
        return warmup.exact(run, "warmup_duration")
    if run.context.beta2 is None:
        raise RunLengthError(
            "warmup_duration: untuned takes its length from beta2, which is unknown here; pass "
            "RunLength(beta2=...), or create the scheduler with an optimizer that has betas"
        )
    # Decimal: 2 / (1 - 0.9) is a little more than 20 in floats.
    steps = StepsConfig(value=math.ceil(2 / (1 - Decimal(repr(run.context.beta2)))))
    return steps.exact(run, "warmup_duration")


def fitting_warmup(
    warmup: AnyDuration | Literal["untuned"], whole: AnyDuration, run: RunLength
) -> Position:
    """Return the exact length of a warm-up, which must fit into the whole.

    In a run that was cut short on purpose the warm-up is clipped, with a warning.

    Raises:
        ScheduleError: The warm-up is longer than the whole; both lengths are named.
    """
    end = warmup_end(warmup, run)
    total = whole.resolve(run, "max_duration")
    if end > total:
        text = (
            f"warmup_duration is {math.ceil(end)} steps ({warmup}), longer than max_duration, "
            f"which is {total} steps ({whole})"
        )
        instead = f"the warm-up is clipped to {total} steps"
        too_long(run, text, "shorten the one or lengthen the other", instead)
    return min(end, total)


# -- a minimum -------------------------------------------------------------------------------------


class MinimumScheduleConfigBase(CurveScheduleConfigBase):
    """A schedule with a minimum, as a factor or as a rate: call `minimum` for the factor."""

    min_factor: MinFactor = 0.0
    """Factor at the end of the decay."""

    min_lr: MinRate = None
    """The same as an absolute rate, instead of `min_factor`."""

    def minimum(self, run: RunLength) -> float:
        """Return the least factor.

        Raises:
            RunLengthError: The minimum is given as a rate, and the base rate is unknown.
            ScheduleError: The minimum is given as a rate above the base rate.
        """
        return minimum_of(self, run)

    @model_validator(mode="after")
    def _check_exclusive(self) -> Self:
        return _refuse_both(self)


def minimum_of(config: Any, run: RunLength) -> float:
    """Return the least factor of a schedule with the fields of a minimum."""
    return config.min_factor if config.min_lr is None else run.factor_of(config.min_lr, "min_lr")


# -- an end ----------------------------------------------------------------------------------------


class FiniteScheduleConfigBase(WarmupScheduleConfigBase):
    """A schedule with a warm-up, an end, and a minimum that applies from the end on."""

    min_factor: MinFactor = 0.0
    """Factor at the end of the decay."""

    min_lr: MinRate = None
    """The same as an absolute rate, instead of `min_factor`."""

    max_duration: DurationField = cast("Any", FractionConfig(value=1.0))
    """End of the decay, counted from the beginning of the run: warm-up included."""

    hit_end: bool = False
    """Reach the end value at the last update before the end, instead of the one after it."""

    def whole_duration(self) -> AnyDuration:
        """Return the time up to the end."""
        return self.max_duration

    def remaining(self, run: RunLength, parts: Mapping[str, Position]) -> int:
        """Return the whole steps that parts of the schedule, by field, leave of the whole.

        Raises:
            ScheduleError: The parts are longer than the whole, and the run was not cut short on
                purpose.
        """
        return _remaining(self.max_duration.resolve(run, "max_duration"), run, parts)

    def last_part(
        self, run: RunLength, warmup: int, duration: AnyDuration, field: str
    ) -> tuple[int, int]:
        """Return the steps between the warm-up and a part at the end, and the steps of the part.

        Args:
            run: The length of the run.
            warmup: The steps of the warm-up.
            duration: The duration of the part.
            field: The field of the part, for messages.

        Raises:
            ScheduleError: Both are longer than the whole, and the run was not cut short on purpose.
        """
        return last_part(run, warmup, self.warmup_end(run), self.max_duration, (duration, field))


def _remaining(total: int, run: RunLength, parts: Mapping[str, Position]) -> int:
    rest = total - sum(parts.values())
    if rest < 0:
        steps = {field: math.ceil(length) for field, length in parts.items()}
        texts = " and ".join(f"{field} ({length} steps)" for field, length in steps.items())
        verb = "is" if len(parts) == 1 else "together are"
        text = f"{texts} {verb} longer than max_duration ({total} steps)"
        too_long(run, text, "shorten one, or lengthen the whole")
    return max(0, math.floor(rest))


def last_part(
    run: RunLength,
    warmup: int,
    warmup_end: Position,
    whole: AnyDuration,
    part: tuple[AnyDuration, str],
) -> tuple[int, int]:
    """Return the steps between a warm-up and a part at the end, and the steps of the part.

    Args:
        run: The length of the run.
        warmup: The steps of the warm-up.
        warmup_end: The exact length of the warm-up.
        whole: The duration of the schedule.
        part: The duration of the part, and its field.
    """
    total = whole.resolve(run, "max_duration")
    duration, field = part
    begin = duration.before(run, field, total)
    _remaining(total, run, {"warmup_duration": warmup_end, field: total - begin})
    # The length is rounded up, as far as the warm-up leaves room.
    between = max(0, math.floor(begin) - warmup)
    return between, max(0, total - warmup - between)


class DecayScheduleConfigBase(WarmupScheduleConfigBase):
    """A warm-up, then one decay to the end of the run: write `shape`.

    The factor is m + (1 - m) f(x): m is `min_factor`, x the elapsed share of the decay, from 0 at
    the end of the warm-up to 1 at `max_duration`, and f falls from 1 to 0. From then on the factor
    is m, exactly, unless `after_end` is set.
    """

    min_factor: MinFactor = 0.0
    """Factor at the end of the decay."""

    min_lr: MinRate = None
    """The same as an absolute rate, instead of `min_factor`."""

    max_duration: DurationField = cast("Any", FractionConfig(value=1.0))
    """End of the decay, counted from the beginning of the run: warm-up included."""

    hit_end: bool = False
    """Reach the end value at the last update before the end, instead of the one after it."""

    after_end: Literal["hold", "repeat", "mirror"] = "hold"
    """Values after the end: the end value, the decay repeated, or mirrored back and forth."""

    def whole_duration(self) -> AnyDuration:
        """Return the time up to the end."""
        return self.max_duration

    @abstractmethod
    def shape(self) -> Curve:
        """Return the function f on [0, 1] that falls from 1 to 0, which compares as a value."""

    @final
    def after_warmup(self, run: RunLength, warmup: int) -> Decay:
        """Return the decay over the part of the duration that the warm-up leaves."""
        total = self.max_duration.resolve(run, "max_duration")
        length = _remaining(total, run, {"warmup_duration": warmup})
        return Decay(
            self.shape(),  # type: ignore[arg-type]
            length=length,
            end=self.minimum(run),
            after=self.after_end,
            last=max(1, length - self.hit_end),
        )


class EndlessScheduleConfigBase(WarmupScheduleConfigBase):
    """A schedule that needs no end, with an optional cool-down: write `endless`.

    With a cool-down of D steps that ends at M, the factor goes from its value at M - D to the
    minimum at M, and stays there.
    """

    min_factor: MinFactor = 0.0
    """Factor at the end of the cool-down."""

    min_lr: MinRate = None
    """The same as an absolute rate, instead of `min_factor`."""

    cooldown_duration: DurationField = cast("Any", StepsConfig(value=0))
    """Duration of the cool-down at the end; 0 steps for a schedule without an end."""

    cooldown_shape: DecayShape = "linear"
    """Shape of the cool-down."""

    max_duration: DurationField = cast("Any", FractionConfig(value=1.0))
    """End of the cool-down, counted from the beginning of the run: warm-up included."""

    @abstractmethod
    def endless(self, run: RunLength, warmup: int) -> Curve:
        """Return the factor after the warm-up, as if there were no cool-down.

        Args:
            run: The length of the run.
            warmup: The number of warm-up steps.
        """

    @final
    def after_warmup(self, run: RunLength, warmup: int) -> Curve:
        """Return the endless curve, with the cool-down if there is one."""
        curve = self.endless(run, warmup)
        if self.cooldown_duration.value == 0:
            return curve
        part = self.cooldown_duration, "cooldown_duration"
        start, length = last_part(run, warmup, self.warmup_end(run), self.max_duration, part)
        shape = FALLS[self.cooldown_shape]
        return Override(curve, start, length, self.minimum(run), shape)

    @model_validator(mode="after")
    def _check_cooldown(self) -> Self:
        given = "min_lr" if self.min_lr is not None else "min_factor" if self.min_factor else None
        if given and self.cooldown_duration == StepsConfig(value=0):
            raise ValueError(f"{given} is where a cool-down ends; give cooldown_duration as well")
        return self


Schedule = TypeVar("Schedule", bound=CurveScheduleConfigBase)


def _refuse_both(config: Schedule) -> Schedule:
    """Refuse a factor and a rate for the same value."""
    for factor, rate in (("warmup_start_factor", "warmup_start_lr"), ("min_factor", "min_lr")):
        if getattr(config, rate, None) is None:
            continue
        if getattr(config, factor) != type(config).model_fields[factor].default:
            raise ValueError(f"{factor} and {rate} are two ways to say the same; give one of them")
    return config
