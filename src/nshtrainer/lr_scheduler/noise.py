"""Noise around another schedule, the same in every run with the same seed."""

from __future__ import annotations

from typing import Any, Literal, cast

from nshtrainer.duration import DurationConfig, DurationField, StepsConfig
from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.lr_scheduler.compose import CurveConfig, curve_of_part
from nshtrainer.lr_scheduler.curve_schedule import CurveScheduleConfigBase
from nshtrainer.lr_scheduler.curves import Noisy
from nshtrainer.run_length import RunLength
from nshtrainer.types import Fraction, NonNegativeInt, Positive

__all__ = ["NoiseScheduleConfig"]


@lr_scheduler_registry.register
class NoiseScheduleConfig(CurveScheduleConfigBase):
    """Another schedule times 1 + z, with a new random z at each update, within a limit.

    z depends on the seed and the step alone: a resumed run draws the same values, and so does every
    process of a run on several devices. With a limit of at most 1 the rate is never negative.

    timm, the origin of the idea, draws normal noise until a value is within the limit; here the
    truncated distribution is sampled directly, and `scale` has an effect.

    Reference: the `noise_range_t` of timm's schedulers; R. Wightman, H. Touvron, H. Jégou, "ResNet
    strikes back", arXiv 2110.00476.

    >>> from nshtrainer import RunLength
    >>> from nshtrainer.configs import ConstantScheduleConfig
    >>> config = NoiseScheduleConfig(schedule=ConstantScheduleConfig(), limit=0.1)
    >>> curve = config.curve(RunLength())
    >>> all(0.9 <= curve(step) <= 1.1 for step in range(100))
    True
    >>> curve(7) == config.curve(RunLength())(7) != curve(8)
    True
    """

    example = """
schedule: {name: cosine, warmup_duration: 10%}
limit: 0.2
"""

    name: Literal["noise"] = "noise"

    schedule: CurveConfig
    """The schedule to add noise to."""

    limit: Fraction = 0.67
    """The largest relative change, in [0, 1]."""

    kind: Literal["normal", "uniform"] = "normal"
    """Distribution of z: normal, truncated at the limit, or uniform up to the limit."""

    scale: Positive = 1.0
    """Standard deviation of the normal z before truncation."""

    start: DurationField = cast("Any", StepsConfig(value=0))
    """Start of the noise, counted from the beginning of the run."""

    end: DurationConfig | None = None
    """End of the noise; left out: never."""

    seed: NonNegativeInt = 42
    """Seed of the noise."""

    def curve(self, run: RunLength) -> Noisy:
        """Return the schedule with the noise."""
        inner = curve_of_part(self.schedule, run)
        start = self.start.resolve(run, "start")
        end = None if self.end is None else self.end.resolve(run, "end")
        return Noisy(inner, self.seed, self.limit, self.scale, self.kind, start, end)
