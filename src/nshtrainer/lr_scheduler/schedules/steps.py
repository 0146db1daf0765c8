"""Schedules that drop by a factor (step, multi-step, exponential), or join points."""

from __future__ import annotations

from itertools import accumulate, pairwise
from math import ceil
from typing import Annotated, Literal

from pydantic import Field

from nshtrainer.config import Config
from nshtrainer.duration import DurationConfig, DurationField, EpochsConfig
from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.lr_scheduler.curve_schedule import CurveScheduleConfigBase
from nshtrainer.lr_scheduler.curves import (
    Epochs,
    Exponential,
    Interpolation,
    MultiStep,
    Piecewise,
    Staircase,
    Stretched,
)
from nshtrainer.lr_scheduler.schedules.base import (
    MinimumScheduleConfigBase,
    WarmupScheduleConfigBase,
)
from nshtrainer.lr_scheduler.schedules.checks import positive_steps, too_long
from nshtrainer.lr_scheduler.schedules.field_types import Decline
from nshtrainer.lr_scheduler.schedules.periods import marks
from nshtrainer.lr_scheduler.track import Curve
from nshtrainer.run_length import RunLength
from nshtrainer.types import NonNegative

__all__ = [
    "ExponentialScheduleConfig",
    "MultiStepScheduleConfig",
    "PiecewiseScheduleConfig",
    "PointConfig",
    "StepScheduleConfig",
]


@lr_scheduler_registry.register
class StepScheduleConfig(WarmupScheduleConfigBase):
    """A drop by a factor at regular intervals: gamma^floor(t / T).

    Reference: `torch.optim.lr_scheduler.StepLR`; here T may have any unit, not only epochs.

    >>> from nshtrainer import RunLength
    >>> curve = StepScheduleConfig(step_duration="2 steps", gamma=0.5).curve(RunLength())
    >>> [curve(step) for step in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    example = """
warmup_duration: 10%
step_duration: 20%
gamma: 0.5
"""

    name: Literal["step"] = "step"

    step_duration: DurationField
    """The time T between two drops."""

    gamma: Decline = 0.1
    """Factor on the rate at each drop."""

    def after_warmup(self, run: RunLength, warmup: int) -> Curve:  # noqa: ARG002 - see the base
        """Return the stairs."""
        every = marks(self.step_duration, run, "step_duration", self.warmup_end(run))
        if isinstance(every, int):
            return Exponential(self.gamma, every, staircase=True)
        return Staircase(Exponential(self.gamma, 1, staircase=True), every)


@lr_scheduler_registry.register
class MultiStepScheduleConfig(WarmupScheduleConfigBase):
    """A drop by a factor at each milestone: gamma^(milestones reached).

    The update with the index of a milestone is the first with the lower rate.

    Reference: `torch.optim.lr_scheduler.MultiStepLR`; K. He et al., arXiv 1512.03385.

    Raises:
        ScheduleError: A milestone does not come after the one before, or lies in the warm-up.

    >>> from nshtrainer import RunLength
    >>> config = MultiStepScheduleConfig(milestones=("2 steps", "3 steps"), gamma=0.5)
    >>> [config.curve(RunLength())(step) for step in range(5)]
    [1.0, 1.0, 0.5, 0.25, 0.25]
    """

    example = """
milestones: [50%, 75%]
gamma: 0.3
"""

    name: Literal["multi_step"] = "multi_step"

    milestones: Annotated[tuple[DurationConfig, ...], Field(min_length=1)]
    """Times of the drops, counted from the beginning of the run, in order."""

    gamma: Decline = 0.1
    """Factor on the rate at each drop."""

    def after_warmup(self, run: RunLength, warmup: int) -> MultiStep:
        """Return the stairs."""
        exact = [each.exact(run, "milestones") for each in self.milestones]
        if exact[0] < self.warmup_end(run) or any(one >= other for one, other in pairwise(exact)):
            texts = ", ".join(str(ceil(each)) for each in exact)
            text = (
                f"milestones at {texts} steps: each must come after the one before, and after the "
                f"warm-up of {warmup} steps"
            )
            too_long(run, text, "move one")
        steps = sorted(max(0, ceil(each) - warmup) for each in exact)
        return MultiStep(tuple(steps), self.gamma)


@lr_scheduler_registry.register
class ExponentialScheduleConfig(WarmupScheduleConfigBase, MinimumScheduleConfigBase):
    """An exponential decay: gamma^(t / T), not below a minimum.

    Reference: `torch.optim.lr_scheduler.ExponentialLR`, whose T is one epoch.

    >>> from nshtrainer import RunLength
    >>> curve = ExponentialScheduleConfig(step_duration="2 steps", gamma=0.25).curve(RunLength())
    >>> [curve(step) for step in range(5)]
    [1.0, 0.5, 0.25, 0.125, 0.0625]
    """

    example = """
warmup_duration: 10%
step_duration: 1 epochs
gamma: 0.7
"""

    name: Literal["exponential"] = "exponential"

    step_duration: DurationField
    """The time T in which the rate is multiplied by `gamma`."""

    gamma: Decline
    """Factor on the rate in that time."""

    min_factor: NonNegative = 0.0
    """Lower bound of the factor."""

    def after_warmup(self, run: RunLength, warmup: int) -> Curve:
        """Return the decay."""
        duration, end = self.step_duration, self.minimum(run)
        steps = positive_steps(duration, run, "step_duration")
        lengths = run.steps_per_epoch
        if isinstance(duration, EpochsConfig) and isinstance(lengths, tuple):
            curve, begin = Exponential(self.gamma, 1, end=end), run.context.start + warmup
            return Stretched(curve, Epochs(lengths), begin, duration.value)
        exact = duration.exact(run, "step_duration")
        return Exponential(
            self.gamma, steps if exact == steps or exact < 1 else float(exact), end=end
        )


class PointConfig(Config):
    """The factor at one moment of a run.

    >>> PointConfig(at="10%", factor=0.5).at
    FractionConfig(value=0.1)
    """

    at: DurationField
    """The moment, counted from the beginning of the run."""

    factor: NonNegative
    """Factor on the base rate at that moment."""


@lr_scheduler_registry.register
class PiecewiseScheduleConfig(CurveScheduleConfigBase):
    """Interpolation between points, constant before the first and after the last.

    Reference: `optax.piecewise_interpolate_schedule` and `optax.piecewise_constant_schedule`.

    Raises:
        ScheduleError: A point does not come after the one before.

    >>> from nshtrainer import RunLength
    >>> points = (PointConfig(at="2 steps", factor=1.0), PointConfig(at="4 steps", factor=0.0))
    >>> curve = PiecewiseScheduleConfig(points=points).curve(RunLength())
    >>> [curve(step) for step in range(6)]
    [1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    """

    example = """
points:
  - {at: 0%, factor: 0.1}
  - {at: 20%, factor: 1.0}
  - {at: 60%, factor: 0.7}
  - {at: 100%, factor: 0.05}
"""

    name: Literal["piecewise"] = "piecewise"

    points: Annotated[tuple[PointConfig, ...], Field(min_length=1)]
    """The points, in order."""

    interpolation: Interpolation = "linear"
    """Interpolation between two points: a line, half a cosine wave, or the factor of the first."""

    def curve(self, run: RunLength) -> Piecewise:
        """Return the joined points."""
        exact = [
            point.at.exact(run, f"points.{place}.at") for place, point in enumerate(self.points)
        ]
        steps = list(map(ceil, exact))
        if any(one >= other for one, other in pairwise(exact)):
            text = (
                f"points at {', '.join(map(str, steps))} steps: each must come after the one before"
            )
            too_long(run, text, "move one")
            steps = list(accumulate(steps, max))
        factors = tuple(point.factor for point in self.points)
        return Piecewise(tuple(steps), factors, self.interpolation)
