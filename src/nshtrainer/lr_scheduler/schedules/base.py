"""What schedules share: a warm-up before, and a decay over the rest of the run."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import Any, Literal, TypeAlias, cast, final

from nshtrainer.duration import AnyDuration, DurationField, FractionConfig, StepsConfig
from nshtrainer.exceptions import NshtrainerWarning, ScheduleError
from nshtrainer.lr_scheduler.base import Curve, CurveScheduleConfigBase
from nshtrainer.lr_scheduler.curves import Decay, Warmup
from nshtrainer.lr_scheduler.run_length import RunLength
from nshtrainer.types import NonNegative

__all__ = ["DecayScheduleConfigBase", "WarmupScheduleConfigBase"]

WarmupShape: TypeAlias = Literal["linear", "cosine", "exponential", "1-sqrt"]


class WarmupScheduleConfigBase(CurveScheduleConfigBase):
    """A schedule with a warm-up before it: write `after_warmup`, which counts from its own 0.

    At update t of W warm-up updates the factor is s + (p - s) r(t / W): s is the start factor, p
    the first value of what follows, and r rises from 0 to 1 in the shape of the warm-up.
    """

    example = "warmup_duration: 10%"

    warmup_duration: DurationField = cast("Any", StepsConfig(value=0))
    """How long the rate rises at first; 0 steps for no warm-up."""

    warmup_start_factor: NonNegative | Literal["auto"] = "auto"
    """Factor at the first update; `auto` is 1 / (W + 1), so that no update is spent at 0."""

    warmup_shape: WarmupShape = "linear"
    """How the rate rises: linear, or slow at first (cosine, exponential) or at last (1-sqrt)."""

    @abstractmethod
    def after_warmup(self, run: RunLength, warmup: int) -> Curve:
        """The factor from the end of the warm-up on, as a function of the steps since then.

        Args:
            run: The length of the run.
            warmup: The number of steps before.
        """

    @final
    def curve(self, run: RunLength) -> Curve:
        """The warm-up, then what follows."""
        warmup = self._warmup(run)
        main = self.after_warmup(run, warmup)
        if warmup == 0:
            return main
        start = self.warmup_start_factor
        start = 1 / (warmup + 1) if start == "auto" else start
        return Warmup(main, steps=warmup, start=start, shape=self.warmup_shape)

    def _warmup(self, run: RunLength) -> int:
        return self.warmup_duration.resolve(run, "warmup_duration")


class DecayScheduleConfigBase(WarmupScheduleConfigBase):
    """A warm-up, then one way down to the end of the run: write `shape`.

    The factor is m + (1 - m) f(x): m is `min_factor`, x the share of the way that lies behind, from
    0 at the end of the warm-up to 1 at `max_duration`, and f falls from 1 to 0. From then on it is
    m, exactly, unless `after_end` says otherwise.
    """

    max_duration: DurationField = cast("Any", FractionConfig(value=1.0))
    """When the decay ends, counted from the beginning of the run: warm-up included."""

    min_factor: NonNegative = 0.0
    """Factor at the end of the decay."""

    after_end: Literal["hold", "repeat", "mirror"] = "hold"
    """What follows the end: that value, the same way again, or the way back and forth."""

    hit_end: bool = False
    """Whether the last update before the end has the end value already; else the one after it."""

    @abstractmethod
    def shape(self) -> Curve:
        """The function f from [0, 1] that falls from 1 to 0; it compares and prints as a value."""

    @final
    def after_warmup(self, run: RunLength, warmup: int) -> Decay:
        """The decay over what the warm-up left of the duration."""
        length = self.max_duration.resolve(run, "max_duration") - warmup
        return Decay(
            self.shape(),  # type: ignore[arg-type]
            length=length,
            end=self.min_factor,
            after=self.after_end,
            last=max(1, length - self.hit_end),
        )

    def _warmup(self, run: RunLength) -> int:
        return fitting_warmup(self.warmup_duration, self.max_duration, run)


def fitting_warmup(warmup: AnyDuration, whole: AnyDuration, run: RunLength) -> int:
    """The steps of a warm-up, which must fit into the whole.

    In a run that was cut short on purpose it is clipped, with a warning.

    Raises:
        ScheduleError: The warm-up is longer than the whole; both lengths are named.
    """
    steps = warmup.resolve(run, "warmup_duration")
    total = whole.resolve(run, "max_duration")
    if steps <= total:
        return steps
    text = (
        f"warmup_duration is {steps} steps ({warmup}), longer than max_duration, "
        f"which is {total} steps ({whole})"
    )
    if run.shortened is None:
        raise ScheduleError(f"{text}; shorten the one or lengthen the other")
    text = f"{text}; with {run.shortened} the warm-up is clipped to {total} steps"
    warnings.warn(text, NshtrainerWarning, stacklevel=2)
    return total
