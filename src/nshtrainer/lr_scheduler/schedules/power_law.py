"""Schedules that decay with a power of time: they need no end, and may have one."""

from __future__ import annotations

from math import ceil
from typing import Literal

from nshtrainer.duration import AnyDuration, DurationConfig, DurationField, Position
from nshtrainer.exceptions import ScheduleError
from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.lr_scheduler.curve_schedule import CurveScheduleConfigBase
from nshtrainer.lr_scheduler.curves import InverseSqrt, Noam, Power
from nshtrainer.lr_scheduler.schedules.base import EndlessScheduleConfigBase
from nshtrainer.lr_scheduler.schedules.checks import positive_steps
from nshtrainer.run_length import RunLength
from nshtrainer.types import Positive, PositiveInt

__all__ = ["InverseSqrtScheduleConfig", "NoamScheduleConfig", "PowerScheduleConfig"]


def _timescale(
    timescale: AnyDuration | None, warmup: int, run: RunLength, begin: Position = 0
) -> int:
    """Return the steps of the timescale, which begins at a position."""
    steps = warmup
    if timescale is not None:
        end = timescale.after(run, "timescale", begin)
        steps = max(ceil(end) - ceil(begin), end > begin)
    if steps == 0:
        raise ScheduleError("timescale is 0 steps; give it, or a warmup_duration to take it from")
    return steps


@lr_scheduler_registry.register
class InverseSqrtScheduleConfig(EndlessScheduleConfigBase):
    """A decay with the square root of time, without an end.

    At t steps after the warm-up the factor is sqrt(T / (T + t)).

    With a warm-up of W and a timescale of W this is the schedule of the transformer paper, up to a
    constant.

    Reference: A. Vaswani et al., "Attention Is All You Need", arXiv 1706.03762; with a cool-down:
    X. Zhai et al., "Scaling Vision Transformers", arXiv 2106.04560.

    Raises:
        ScheduleError: There is neither a timescale nor a warm-up to take it from; warm-up and
            cool-down together are longer than the whole.

    >>> from nshtrainer import RunLength
    >>> curve = InverseSqrtScheduleConfig(timescale="100 steps").curve(RunLength())
    >>> [curve(step) for step in (0, 300)]
    [1.0, 0.5]
    """

    name: Literal["inverse_sqrt"] = "inverse_sqrt"

    timescale: DurationConfig | None = None
    """The time T after which the rate has fallen to 0.71; left out: the duration of the warm-up."""

    def endless(self, run: RunLength, warmup: int) -> InverseSqrt:
        """Return the decay, from 1."""
        return InverseSqrt(_timescale(self.timescale, warmup, run, self.warmup_end(run)))


@lr_scheduler_registry.register
class PowerScheduleConfig(EndlessScheduleConfigBase):
    """A decay with a power of time, without an end: min(1, (T / t)^b), after the warm-up.

    Time counts from the beginning of the run. This is the paper's a n^-b, cut off at the base rate,
    with a = T^b: if the base rate is the highest safe one, T is the time up to which it is used.

    Reference: Y. Shen et al., "Power Scheduler: A Batch Size and Token Number Agnostic Learning
    Rate Scheduler", arXiv 2408.13359.

    Raises:
        ScheduleError: There is neither a timescale nor a warm-up to take it from; warm-up and
            cool-down together are longer than the whole.

    >>> from nshtrainer import RunLength
    >>> config = PowerScheduleConfig(
    ...     timescale="2 steps", exponent=1, cooldown_duration="2 steps", max_duration="6 steps"
    ... )
    >>> [config.curve(RunLength())(step) for step in range(8)]
    [1.0, 1.0, 1.0, 0.6666666666666666, 0.5, 0.25, 0.0, 0.0]
    """

    name: Literal["power"] = "power"

    timescale: DurationConfig | None = None
    """The time T up to which the full rate is used; left out: the duration of the warm-up."""

    exponent: Positive = 0.51
    """Exponent b of the decay."""

    def endless(self, run: RunLength, warmup: int) -> Power:
        """Return the full rate up to T, and the decay."""
        return Power(_timescale(self.timescale, warmup, run), self.exponent, warmup)


@lr_scheduler_registry.register
class NoamScheduleConfig(CurveScheduleConfigBase):
    """A linear rise, then a decay with the square root of time, as in the transformer paper.

    At update t with n = t + 1 the factor is p min(n / W, sqrt(W / n)). Without a `model_dim` the
    peak p is 1. With d = `model_dim` it is (d W)^-0.5, which makes it the paper's
    d^-0.5 min(n^-0.5, n W^-1.5); the optimizer's rate, then, is 1 or near it.

    Reference: A. Vaswani et al., "Attention Is All You Need", arXiv 1706.03762.

    Raises:
        ScheduleError: The warm-up has no steps.

    >>> from nshtrainer import RunLength
    >>> curve = NoamScheduleConfig(warmup_duration="4 steps").curve(RunLength())
    >>> [curve(step) for step in (0, 1, 2, 3, 15)]
    [0.25, 0.5, 0.75, 1.0, 0.5]
    """

    example = "warmup_duration: 10%"

    name: Literal["noam"] = "noam"

    warmup_duration: DurationField
    """Number W of warm-up updates, of which the last has the peak."""

    model_dim: PositiveInt | None = None
    """The width d of the model, for a peak of (d W)^-0.5; left out: the peak is the base rate."""

    def curve(self, run: RunLength) -> Noam:
        """Return the rise and the decay."""
        warmup = positive_steps(self.warmup_duration, run, "warmup_duration")
        peak = 1.0 if self.model_dim is None else (self.model_dim * warmup) ** -0.5
        return Noam(warmup, peak)
