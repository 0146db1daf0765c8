"""Linear warm-up and cosine decay, with the fields of the first releases."""

from __future__ import annotations

from math import ceil
from typing import Literal

from nshtrainer.duration import DurationField
from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.lr_scheduler.curve_schedule import CurveScheduleConfigBase
from nshtrainer.lr_scheduler.curves import LinearWarmupCosine
from nshtrainer.lr_scheduler.schedules.base import fitting_warmup
from nshtrainer.run_length import RunLength
from nshtrainer.types import NonNegative

__all__ = ["LinearWarmupCosineDecayLRSchedulerConfig"]


@lr_scheduler_registry.register
class LinearWarmupCosineDecayLRSchedulerConfig(CurveScheduleConfigBase):
    """A linear warm-up, then a cosine decay, by the step.

    With W warm-up steps, M steps in all, start factor s and end factor m, the base rate is
    multiplied, at update t counted from 0, by

    - t < W: s + (1 - s) t / W
    - W <= t < M: m + (1 - m) (1 + cos(pi (t - W) / (M - W))) / 2
    - t >= M: m

    With `annealing`, the cosine restarts warm, every M - W steps, and never ends: for t >= W its
    phase is (t - W) mod (M - W).

    Torch's `CosineAnnealingLR` rises again after its end; this one keeps its end value.

    Reference: I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
    ICLR 2017, arXiv 1608.03983; warm-up: P. Goyal et al., arXiv 1706.02677.

    Raises:
        ScheduleError: The warm-up is longer than the whole.

    >>> from nshtrainer import RunLength
    >>> config = LinearWarmupCosineDecayLRSchedulerConfig(
    ...     warmup_duration="10 steps", max_duration="100 steps", min_lr_factor=0.1
    ... )
    >>> curve = config.curve(RunLength())
    >>> [round(curve(step), 3) for step in (0, 5, 10, 55, 100, 1000)]
    [0.0, 0.5, 1.0, 0.55, 0.1, 0.1]
    """

    example = """
warmup_duration: 10%
max_duration: 100%
min_lr_factor: 0.1
"""

    name: Literal["linear_warmup_cosine_decay"] = "linear_warmup_cosine_decay"

    warmup_duration: DurationField
    """Duration of the warm-up; 0 steps for none."""

    max_duration: DurationField
    """End of the decay, counted from the beginning of the run: warm-up included."""

    warmup_start_lr_factor: NonNegative = 0.0
    """Factor at the first update, usually from 0 to 1; with 0 the first update changes nothing."""

    min_lr_factor: NonNegative = 0.0
    """Factor at the end of the decay, usually from 0 to 1."""

    annealing: bool = False
    """Restart the cosine at its end instead of keeping the end value."""

    def curve(self, run: RunLength) -> LinearWarmupCosine:
        """Return the factor as a function of the step; see the class."""
        total = self.max_duration.resolve(run, "max_duration")
        return LinearWarmupCosine(
            warmup=ceil(fitting_warmup(self.warmup_duration, self.max_duration, run)),
            total=total,
            start=self.warmup_start_lr_factor,
            end=self.min_lr_factor,
            restarts=self.annealing,
        )
