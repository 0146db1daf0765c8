"""Schedules that fall by a factor each time: step, multi-step, exponential; and warm restarts."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from nshtrainer.duration import AnyDuration, DurationConfig, DurationField
from nshtrainer.exceptions import ScheduleError
from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.lr_scheduler.curves import CosineShape, Exponential, MultiStep, WarmRestarts
from nshtrainer.lr_scheduler.run_length import RunLength
from nshtrainer.lr_scheduler.schedules.base import WarmupScheduleConfigBase
from nshtrainer.types import NonNegative, PositiveInt

__all__ = [
    "CosineRestartsScheduleConfig",
    "ExponentialScheduleConfig",
    "MultiStepScheduleConfig",
    "StepScheduleConfig",
]


Decline: TypeAlias = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
"""What something is multiplied by so that it does not grow, in (0, 1]."""


def _positive(duration: AnyDuration, run: RunLength, field: str) -> int:
    steps = duration.resolve(run, field)
    if steps == 0:
        raise ScheduleError(f"{field} is 0 steps; make it 1 or more")
    return steps


@lr_scheduler_registry.register
class StepScheduleConfig(WarmupScheduleConfigBase):
    """Falls by a factor every so often: gamma^floor(t / T).

    Reference: `torch.optim.lr_scheduler.StepLR`; here the unit is what you say, not the epoch.

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
    """The time T between two falls."""

    gamma: Decline = 0.1
    """What the rate is multiplied by each time."""

    def after_warmup(self, run: RunLength, warmup: int) -> Exponential:  # noqa: ARG002 - see the base
        """The stairs."""
        every = _positive(self.step_duration, run, "step_duration")
        return Exponential(self.gamma, every, staircase=True)


@lr_scheduler_registry.register
class MultiStepScheduleConfig(WarmupScheduleConfigBase):
    """Falls by a factor at each milestone: gamma^(milestones reached).

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
    """When the rate falls, counted from the beginning of the run; in their order."""

    gamma: Decline = 0.1
    """What the rate is multiplied by each time."""

    def after_warmup(self, run: RunLength, warmup: int) -> MultiStep:
        """The stairs."""
        steps = [each.resolve(run, "milestones") - warmup for each in self.milestones]
        if steps[0] < 0 or any(one >= other for one, other in pairwise(steps)):
            texts = ", ".join(str(step + warmup) for step in steps)
            raise ScheduleError(
                f"milestones at {texts} steps: each must come after the one before, and after the "
                f"warm-up of {warmup} steps"
            )
        return MultiStep(tuple(steps), self.gamma)


@lr_scheduler_registry.register
class ExponentialScheduleConfig(WarmupScheduleConfigBase):
    """Falls by the same share in the same time: gamma^(t / T), not below a minimum.

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
    """What the rate is multiplied by in that time."""

    min_factor: NonNegative = 0.0
    """The factor does not fall below this."""

    def after_warmup(self, run: RunLength, warmup: int) -> Exponential:  # noqa: ARG002 - see the base
        """The fall."""
        every = _positive(self.step_duration, run, "step_duration")
        return Exponential(self.gamma, every, end=self.min_factor)


@lr_scheduler_registry.register
class CosineRestartsScheduleConfig(WarmupScheduleConfigBase):
    """A cosine that begins anew: each cycle may be longer, and its peak lower, than the one before.

    In cycle i, of `growth_factor`^i times the first length, the factor is m + (p^i - m) f(x) with
    f the half cosine wave, m the minimum, and p the `peak_factor`.

    Torch's and timm's find the cycle by a logarithm and miss some of the restarts by a step; here
    whole numbers are counted.

    Reference: I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
    ICLR 2017, arXiv 1608.03983.

    >>> from nshtrainer import RunLength
    >>> config = CosineRestartsScheduleConfig(cycle_duration="2 steps", growth_factor=2)
    >>> [round(config.curve(RunLength())(step), 3) for step in range(7)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    example = """
cycle_duration: 10%
growth_factor: 2
peak_factor: 0.8
"""

    name: Literal["cosine_restarts"] = "cosine_restarts"

    cycle_duration: DurationField
    """The length of the first cycle."""

    growth_factor: PositiveInt = 1
    """How many times as long each cycle is as the one before."""

    peak_factor: Decline = 1.0
    """What the peak is multiplied by with each restart."""

    min_factor: NonNegative = 0.0
    """Factor at the end of each cycle."""

    def after_warmup(self, run: RunLength, warmup: int) -> WarmRestarts:  # noqa: ARG002 - see the base
        """The cycles."""
        first = _positive(self.cycle_duration, run, "cycle_duration")
        shape = CosineShape()
        return WarmRestarts(shape, first, self.growth_factor, self.peak_factor, self.min_factor)
