"""Schedules made of schedules: in sequence, multiplied, overridden from a step on, or with noise.

All of them are curves of curves, so they nest, resume and preview like any other. Phases are joined
in this module only.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from nshtrainer.config import Config
from nshtrainer.duration import AnyDuration, DurationConfig, DurationField, Position, StepsConfig
from nshtrainer.exceptions import ScheduleError
from nshtrainer.lr_scheduler.base import (
    LRSchedulerConfig,
    LRSchedulerConfigBase,
    lr_scheduler_registry,
)
from nshtrainer.lr_scheduler.curve_schedule import CurveScheduleConfigBase
from nshtrainer.lr_scheduler.curves import Noisy, Override, Product, Sequence
from nshtrainer.lr_scheduler.schedules.checks import too_long
from nshtrainer.lr_scheduler.track import Curve
from nshtrainer.run_length import RunLength
from nshtrainer.types import Fraction, NonNegative, NonNegativeInt, Positive

__all__ = [
    "NoiseScheduleConfig",
    "OverrideScheduleConfig",
    "PhaseConfig",
    "ProductScheduleConfig",
    "SequenceScheduleConfig",
]


def _is_a_curve(config: LRSchedulerConfigBase) -> LRSchedulerConfigBase:
    if isinstance(config, CurveScheduleConfigBase):
        return config
    raise PydanticCustomError(
        "no_curve",
        "{name} is no function of the step, so it cannot be a part of another schedule",
        {"name": config.name},
    )


CurveConfig = Annotated[LRSchedulerConfig, AfterValidator(_is_a_curve)]
"""The type of a field that holds a schedule which is a curve."""


def curve_of_part(config: LRSchedulerConfigBase, run: RunLength) -> Curve:
    """Return the curve of a schedule that is a part of another one.

    Raises:
        ScheduleError: The part moves other hyperparameters as well, which the whole would lose.
    """
    part = cast("CurveScheduleConfigBase", config)
    others = {track.hyperparameter for track in part.tracks(run)} - {"lr"}
    if others:
        raise ScheduleError(
            f"{part.name} moves {', '.join(sorted(others))} as well, so it cannot be a part of "
            "another schedule; switch that off in it"
        )
    return part.curve(run)


class PhaseConfig(Config):
    """One phase of a sequence: a schedule and its duration.

    >>> from nshtrainer.configs import LinearScheduleConfig
    >>> PhaseConfig(schedule=LinearScheduleConfig(), duration="100 steps").duration
    StepsConfig(value=100)
    """

    schedule: CurveConfig
    """The schedule of this phase. For it the phase is the whole run: `100%` is the phase's end."""

    duration: DurationConfig | Literal["remaining"] = "remaining"
    """The duration of the phase; `remaining` is the part of the run that the others leave."""


@lr_scheduler_registry.register
class SequenceScheduleConfig(CurveScheduleConfigBase):
    """Schedules one after the other, each from its own step 0; the last one continues.

    Torch's `SequentialLR` needs the milestones added up by hand, and takes no unit but its own.

    Reference: `optax.join_schedules`; `torch.optim.lr_scheduler.SequentialLR`.

    Raises:
        ScheduleError: The phases are longer than the run, or several take the remaining steps.

    >>> from nshtrainer.configs import ConstantScheduleConfig, LinearScheduleConfig
    >>> config = SequenceScheduleConfig(phases=(
    ...     PhaseConfig(schedule=ConstantScheduleConfig()),
    ...     PhaseConfig(schedule=LinearScheduleConfig(), duration="2 steps"),
    ... ))
    >>> curve = config.curve(RunLength(total_steps=5))
    >>> [curve(step) for step in range(7)]
    [1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    """

    example = """
phases:
  - schedule: {name: constant, warmup_duration: 10%}
    duration: 50%
  - schedule: {name: cosine, min_factor: 0.1}
"""

    name: Literal["sequence"] = "sequence"

    phases: Annotated[tuple[PhaseConfig, ...], Field(min_length=1)]
    """The phases, in order; one of them may take the remaining steps of the run."""

    continuous: bool = False
    """Scale each phase to begin at the value where the one before ended."""

    def curve(self, run: RunLength) -> Sequence:
        """Return the joined phases."""
        starts, last = self._starts(run)
        ends = (*starts[1:], last)
        curves = [
            # A phase of no steps is never asked for a value, and may need a length all the same.
            curve_of_part(
                phase.schedule, run.slice(max(1, end - start) if end is not None else 0, start)
            )
            for phase, start, end in zip(self.phases, starts, ends, strict=True)
        ]
        return Sequence(tuple(curves), tuple(starts), continuous=self.continuous)

    def _starts(self, run: RunLength) -> tuple[list[int], int | None]:
        """Return the first step of each phase, and the end of the last one, if it is known."""
        durations = [phase.duration for phase in self.phases]
        if durations.count("remaining") > 1:
            raise ScheduleError("two phases take what remains; give all but one a duration")
        place = durations.index("remaining") if "remaining" in durations else len(durations)
        begins: list[Position] = [0]
        for index in range(place):
            begins.append(self._duration(index).after(run, _field(index), begins[-1]))
        if place == len(durations):
            *starts, last = map(ceil, begins)
            return starts, last
        if durations[-1] == "remaining" and run.total_steps is None:
            # The last phase continues anyway; it needs an end only if its schedule asks for one.
            return list(map(ceil, begins)), None
        ends: list[Position] = [_total(run)]
        for index in range(len(durations) - 1, place, -1):
            ends.insert(0, self._duration(index).before(run, _field(index), ends[0]))
        if begins[-1] > ends[0]:
            total = _total(run)
            taken = ceil(total + begins[-1] - ends[0])
            text = f"the phases take {taken} steps, more than the run, which has {total}"
            too_long(run, text, "shorten one")
        starts = list(map(ceil, begins))
        later = [max(starts[-1], floor(end)) for end in ends]
        return [*starts, *later[:-1]], later[-1]

    def _duration(self, index: int) -> AnyDuration:
        return cast("AnyDuration", self.phases[index].duration)


def _field(index: int) -> str:
    return f"phases.{index}.duration"


def _total(run: RunLength) -> int:
    if run.total_steps is None:
        remedy = run.remedy(plain="", trainer="set max_steps, or ")
        raise ScheduleError(
            "a phase takes what remains of the run, whose length is unknown; give it a duration, "
            f"{remedy}or pass RunLength(total_steps=...)"
        )
    return run.total_steps


@lr_scheduler_registry.register
class ProductScheduleConfig(CurveScheduleConfigBase):
    """The product of schedules over the same run.

    Torch's `ChainedScheduler` is a product only if each part multiplies the current rate; this one
    always is.

    Reference: the schedulers of composer, where a list of them multiplies.

    >>> from nshtrainer.configs import ConstantScheduleConfig, LinearScheduleConfig
    >>> parts = (LinearScheduleConfig(), ConstantScheduleConfig(factor=0.5))
    >>> curve = ProductScheduleConfig(schedules=parts).curve(RunLength(total_steps=4))
    >>> [curve(step) for step in range(5)]
    [0.5, 0.375, 0.25, 0.125, 0.0]
    """

    example = """
schedules:
  - {name: cosine}
  - {name: step, step_duration: 25%, gamma: 0.7}
"""

    name: Literal["product"] = "product"

    schedules: Annotated[tuple[CurveConfig, ...], Field(min_length=1)]
    """The schedules to multiply."""

    def curve(self, run: RunLength) -> Product:
        """Return the product of the curves."""
        return Product(tuple(curve_of_part(part, run) for part in self.schedules))


@lr_scheduler_registry.register
class OverrideScheduleConfig(CurveScheduleConfigBase):
    """Another schedule up to a step, and from there a straight line down: "decay now".

    Set it on a resumed run to end the run from its current rate.

    Reference: `OverrideDecay` of OLMo-core.

    >>> from nshtrainer.configs import ConstantScheduleConfig
    >>> config = OverrideScheduleConfig(
    ...     schedule=ConstantScheduleConfig(), start="2 steps", decay_duration="4 steps"
    ... )
    >>> curve = config.curve(RunLength())
    >>> [curve(step) for step in range(8)]
    [1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    example = """
schedule: {name: cosine, warmup_duration: 10%}
start: 50%
decay_duration: 10%
"""

    name: Literal["override"] = "override"

    schedule: CurveConfig
    """The schedule up to `start`."""

    start: DurationField
    """Start of the decay, counted from the beginning of the run."""

    decay_duration: DurationField
    """Duration of the decay; 0 steps for a jump."""

    end_factor: NonNegative = 0.0
    """Factor on the base rate at the end of the decay, and from then on."""

    def curve(self, run: RunLength) -> Override:
        """Return the schedule, followed by the line."""
        inner = curve_of_part(self.schedule, run)
        exact = self.start.exact(run, "start")
        start = ceil(exact)
        length = ceil(self.decay_duration.after(run, "decay_duration", exact)) - start
        return Override(inner, start, length, self.end_factor)


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
