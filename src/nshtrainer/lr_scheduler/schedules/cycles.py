"""Schedules that go up and down: warm restarts, triangles, one cycle, fractal Chebyshev steps."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from nshtrainer.duration import (
    DurationConfig,
    DurationField,
    EpochsConfig,
    FractionConfig,
    StepsConfig,
)
from nshtrainer.exceptions import ScheduleError
from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.lr_scheduler.curve_schedule import CurveScheduleConfigBase
from nshtrainer.lr_scheduler.curves import (
    Chebyshev,
    CosineShape,
    Piecewise,
    Staircase,
    TriangleWave,
    WarmRestarts,
    triangle_scale,
)
from nshtrainer.lr_scheduler.schedules.base import (
    MinimumScheduleConfigBase,
    WarmupScheduleConfigBase,
)
from nshtrainer.lr_scheduler.schedules.checks import too_long
from nshtrainer.lr_scheduler.schedules.field_types import Decline
from nshtrainer.lr_scheduler.schedules.periods import marks, periods, shifted, uniform_from
from nshtrainer.lr_scheduler.track import Curve, Track
from nshtrainer.run_length import RunLength
from nshtrainer.types import Beta, NonNegative, PositiveInt

__all__ = [
    "ChebyshevScheduleConfig",
    "CosineRestartsScheduleConfig",
    "CyclicScheduleConfig",
    "OneCycleScheduleConfig",
]


@lr_scheduler_registry.register
class CosineRestartsScheduleConfig(WarmupScheduleConfigBase, MinimumScheduleConfigBase):
    """A cosine with warm restarts; each cycle may be longer, and its peak lower, than the last.

    In cycle i, of `growth_factor`^i times the first length, the factor is m + (p^i - m) f(x) with
    f the half cosine wave, m the minimum, and p the `peak_factor`. With a re-warm-up of R steps it
    rises at the beginning of each cycle but the first: at its step j the share of the rise is
    (j + 1) / (R + 1), and the wave takes what is left of the cycle.

    Torch and timm find the cycle by a logarithm and miss some of the restarts by a step; here
    whole numbers are counted.

    Reference: I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
    ICLR 2017, arXiv 1608.03983.

    Raises:
        ScheduleError: A cycle has no steps, or the re-warm-up leaves no room for the wave.

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

    num_cycles: PositiveInt | None = None
    """Number of cycles after which the rate stays at the minimum; left out: never."""

    growth_factor: PositiveInt = 1
    """Factor on the length of the cycle at each restart."""

    peak_factor: Decline = 1.0
    """Factor on the peak at each restart."""

    rewarmup_duration: DurationField = cast("Any", StepsConfig(value=0))
    """Duration of the rise at each restart, within the cycle; 0 steps for a jump."""

    min_factor: NonNegative = 0.0
    """Factor at the end of each cycle."""

    def after_warmup(self, run: RunLength, warmup: int) -> WarmRestarts:  # noqa: ARG002 - see the base
        """Return the cycles."""
        begin = self.warmup_end(run)
        every = marks(self.cycle_duration, run, "cycle_duration", begin)
        first = every if isinstance(every, int) else every.start(1)
        rise = self.rewarmup_duration.resolve(run, "rewarmup_duration")
        if rise >= first:
            text = f"rewarmup_duration is {rise} steps, and the first cycle has {first}"
            too_long(run, text, "make it shorter than the cycle")
        curve = WarmRestarts(
            CosineShape(),
            first,
            growth=self.growth_factor,
            peak=self.peak_factor,
            end=self.minimum(run),
            rise=min(rise, first - 1),
            cycles=self.num_cycles,
            marks=None if isinstance(every, int) else every,
        )
        return replace(curve, **self._rises(curve, run, math.ceil(begin)))

    def _rises(self, curve: WarmRestarts, run: RunLength, begin: int) -> dict[str, Any]:
        """Return the rises of cycles whose epochs differ in length from the last ones."""
        if curve.rise == 0 or not isinstance(self.rewarmup_duration, EpochsConfig):
            return {}
        found: list[int] = []
        uniform, at = uniform_from(run), begin
        while at < uniform:
            found.append(self._rise(run, at))
            at = begin + curve.begin(len(found))
        return {"rises": tuple(found), "rise": self._rise(run, at)} if found else {}

    def _rise(self, run: RunLength, at: int) -> int:
        return math.ceil(self.rewarmup_duration.after(run, "rewarmup_duration", at)) - at


@lr_scheduler_registry.register
class CyclicScheduleConfig(MinimumScheduleConfigBase):
    """Triangles: up and down in straight lines, repeated.

    With m the minimum and x the height in the triangle, from 0 to 1, the factor is m + (1 - m) x.
    With `triangular2` x is halved with each cycle; with `exp_range` it is multiplied by gamma^t.

    Torch's `CyclicLR` takes the rate at the bottom as the base; here the base rate is the top.

    Reference: L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, arXiv
    1506.01186.

    Raises:
        ScheduleError: A cycle has no steps.

    >>> from nshtrainer import RunLength
    >>> config = CyclicScheduleConfig(rise_duration="2 steps", min_factor=0.5)
    >>> [config.curve(RunLength())(step) for step in range(6)]
    [0.5, 0.75, 1.0, 0.75, 0.5, 0.75]
    """

    example = """
rise_duration: 10%
fall_duration: 15%
mode: triangular2
min_factor: 0.1
"""

    name: Literal["cyclic"] = "cyclic"

    rise_duration: DurationField
    """Duration of the rise in a cycle."""

    fall_duration: DurationConfig | None = None
    """Duration of the fall in a cycle; left out: as long as the rise."""

    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    """Height of the triangles: constant, halved with each cycle, or reduced with each step."""

    gamma: Decline = 1.0
    """Factor on the height with each step in the mode `exp_range`."""

    min_factor: NonNegative = 0.25
    """Factor at the bottom of each triangle."""

    def curve(self, run: RunLength) -> TriangleWave:
        """Return the triangles."""
        parts = (
            (self.rise_duration, "rise_duration"),
            (self.fall_duration or self.rise_duration, "fall_duration"),
        )
        rise, fall = (duration.resolve(run, field) for duration, field in parts)
        if rise + fall == 0:
            raise ScheduleError("rise_duration is 0 steps, and so is the fall; make one 1 or more")
        scale = triangle_scale(self.mode, self.gamma)
        wave = TriangleWave(self.minimum(run), 1.0, rise, fall, *scale)
        found = periods(parts, run, 0)
        if found == [[rise, fall]] or sum(found[0]) < 1:
            return wave
        begins = shifted([sum(lengths) for lengths in found], 0)
        falls = [0, *(fall for _, fall in found)]
        peaks = [rise + before for (rise, _), before in zip(found, falls, strict=False)]
        peaks.append(sum(found[-1]))
        return replace(wave, marks=(begins, shifted(peaks, 0)))


@lr_scheduler_registry.register
class OneCycleScheduleConfig(MinimumScheduleConfigBase):
    """One rise to the full rate and one decay to almost 0, with the momentum moving against it.

    The factor goes from s to 1 in the rise, and to m at the end. With `three_phase` it goes back to
    s in as many steps as the rise, and then to m. Between these points it follows half a cosine
    wave or a line.

    Torch's `OneCycleLR` has the end value at the last update, as this one with `hit_end`, and the
    peak a step earlier. Torch raises an error if a run continues after that; here the end value
    stays. As a part of another schedule this one needs `cycle_momentum: false`.

    Reference: L. N. Smith, N. Topin, "Super-Convergence", arXiv 1708.07120; in two phases: fastai.

    Raises:
        ScheduleError: The rise, twice with three phases, is longer than the whole.

    >>> from nshtrainer import RunLength
    >>> config = OneCycleScheduleConfig(rise_duration="50%", start_factor=0.5, min_factor=0)
    >>> [round(config.curve(RunLength(total_steps=4))(step), 3) for step in range(6)]
    [0.5, 0.75, 1.0, 0.5, 0.0, 0.0]
    >>> config.momentum_curve(RunLength(total_steps=4))(2)
    0.85
    """

    name: Literal["one_cycle"] = "one_cycle"

    max_duration: DurationField = cast("Any", FractionConfig(value=1.0))
    """End of the cycle, counted from the beginning of the run."""

    rise_duration: DurationField = cast("Any", FractionConfig(value=0.3))
    """Duration of the rise."""

    start_factor: NonNegative = 0.04
    """Factor s at the first update."""

    min_factor: NonNegative = 4e-6
    """Factor m at the end."""

    interpolation: Literal["cosine", "linear"] = "cosine"
    """Interpolation between the points: half a cosine wave, or a line."""

    three_phase: bool = False
    """Return to the initial rate before the decay to the minimum."""

    hit_end: bool = False
    """Reach the end value at the last update before the end, instead of the one after it."""

    cycle_momentum: bool = True
    """Move the momentum as well, which is the first beta of Adam."""

    max_momentum: Beta = 0.95
    """Momentum at the first update and at the end."""

    min_momentum: Beta = 0.85
    """Momentum at the highest rate."""

    def tracks(self, run: RunLength) -> tuple[Track, ...]:
        """Return the tracks of the rate, and of the momentum against it."""
        rate = super().tracks(run)
        momentum = Track("momentum", self.momentum_curve(run), "value")
        return (*rate, momentum) if self.cycle_momentum else rate

    def curve(self, run: RunLength) -> Piecewise:
        """Return the factor on the learning rate."""
        start, end = self.start_factor, self.minimum(run)
        return self._through(
            run, (start, 1.0, start, end) if self.three_phase else (start, 1.0, end)
        )

    def momentum_curve(self, run: RunLength) -> Piecewise:
        """Return the momentum, or the first beta, as a value and not as a factor."""
        low, high = self.min_momentum, self.max_momentum
        return self._through(
            run, (high, low, high, high) if self.three_phase else (high, low, high)
        )

    def _through(self, run: RunLength, values: tuple[float, ...]) -> Piecewise:
        points = self._points(run)
        labels = ("rise", "fall", "cool-down")[: len(points) - 1]
        return Piecewise(points, values, self.interpolation, labels)

    def _points(self, run: RunLength) -> tuple[int, ...]:
        total = self.max_duration.resolve(run, "max_duration")
        rise = self.rise_duration.resolve(run, "rise_duration")
        if rise * (2 if self.three_phase else 1) > total:
            twice = "twice " if self.three_phase else ""
            text = (
                f"{twice}rise_duration ({rise} steps) is longer than max_duration ({total} steps)"
            )
            too_long(run, text, "shorten the one or lengthen the other")
        last = max(0, total - self.hit_end)
        peak = min(max(0, rise - self.hit_end), last)
        return (0, peak, min(2 * peak, last), last) if self.three_phase else (0, peak, last)


@lr_scheduler_registry.register
class ChebyshevScheduleConfig(CurveScheduleConfigBase):
    """Fractal Chebyshev steps: a few far too large rates, balanced by many small ones.

    With T = 2^depth values, r = m / M the least curvature as a share of the largest, and i the
    place of the value in the fractal order, the factor is
    1 / (r + (1 - r) sin^2(pi (2 i + 1) / (4 T))), which lies between 1 and 1 / r: the base rate is
    1 / M at which plain gradient descent is stable. The order is [0] for T = 1; the order for 2 T
    is [i, 2 T - 1 - i for each i] of the order for T. After T values the order repeats.

    pytorch_optimizer's version uses the first value three times, so the others are two steps late.

    Reference: N. Agarwal, S. Goel, C. Zhang, "Acceleration via Fractal Learning Rate Schedules",
    ICML 2021, arXiv 2103.01338.

    Raises:
        ScheduleError: A value is used for no steps.

    >>> from nshtrainer import RunLength
    >>> curve = ChebyshevScheduleConfig(depth=2, ratio=0.1).curve(RunLength())
    >>> [round(curve(step), 2) for step in range(5)]
    [7.45, 1.04, 2.65, 1.38, 7.45]
    """

    example = """
depth: 4
step_duration: 2%
"""

    name: Literal["chebyshev"] = "chebyshev"

    depth: Annotated[int, Field(ge=0, le=40, strict=True)] = 7
    """The number of values is 2 to this power; 0 to 40."""

    ratio: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False, strict=True)] = 0.05
    """The least curvature of the loss as a share r of the largest, in (0, 1]."""

    step_duration: DurationField = cast("Any", StepsConfig(value=1))
    """Duration of each value."""

    def curve(self, run: RunLength) -> Curve:
        """Return the values, in order."""
        every = marks(self.step_duration, run, "step_duration", 0)
        if isinstance(every, int):
            return Chebyshev(self.depth, self.ratio, every)
        return Staircase(Chebyshev(self.depth, self.ratio), every)
