"""Decays over the whole run: linear, cosine, polynomial, tanh, REX; and a constant rate."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Literal

from pydantic import Field

from nshtrainer.duration import DurationField
from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.lr_scheduler.curve_schedule import CurveScheduleConfigBase
from nshtrainer.lr_scheduler.curves import (
    Constant,
    CosineShape,
    HalfCosineShape,
    LinearShape,
    LinearWarmupCosine,
    PowerShape,
    ReflectedExponentialShape,
    TanhShape,
)
from nshtrainer.lr_scheduler.schedules.base import (
    DecayScheduleConfigBase,
    WarmupScheduleConfigBase,
    fitting_warmup,
)
from nshtrainer.run_length import RunLength
from nshtrainer.types import NonNegative, Positive

__all__ = [
    "ConstantScheduleConfig",
    "CosineScheduleConfig",
    "HalfCosineScheduleConfig",
    "LinearScheduleConfig",
    "LinearWarmupCosineDecayLRSchedulerConfig",
    "PolynomialScheduleConfig",
    "RexScheduleConfig",
    "TanhScheduleConfig",
]


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


@lr_scheduler_registry.register
class ConstantScheduleConfig(WarmupScheduleConfigBase):
    """A constant rate, after an optional warm-up.

    Reference: P. Goyal et al., "Accurate, Large Minibatch SGD", arXiv 1706.02677 (the warm-up).

    >>> from nshtrainer import RunLength
    >>> curve = ConstantScheduleConfig(warmup_duration="3 steps").curve(RunLength())
    >>> [curve(step) for step in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """

    name: Literal["constant"] = "constant"

    factor: NonNegative = 1.0
    """Factor on the base rate."""

    def after_warmup(self, run: RunLength, warmup: int) -> Constant:  # noqa: ARG002 - see the base
        """Return the constant factor."""
        return Constant(self.factor)


@lr_scheduler_registry.register
class LinearScheduleConfig(DecayScheduleConfigBase):
    """A straight line down: f(x) = 1 - x.

    Reference: A. Defazio et al., "Optimal Linear Decay Learning Rate Schedules and Further
    Refinements", arXiv 2310.07831.

    >>> from nshtrainer import RunLength
    >>> curve = LinearScheduleConfig(min_factor=0.5).curve(RunLength(total_steps=4))
    >>> [curve(step) for step in range(6)]
    [1.0, 0.875, 0.75, 0.625, 0.5, 0.5]
    """

    name: Literal["linear"] = "linear"

    def shape(self) -> LinearShape:
        """Return the shape 1 - x."""
        return LinearShape()


@lr_scheduler_registry.register
class CosineScheduleConfig(DecayScheduleConfigBase):
    """Half a cosine wave down: f(x) = (1 + cos(2 pi c x^k)) / 2 with c = 1/2 and k = 1.

    Torch's and transformers' cosine rise again after the end; this one keeps its end value, unless
    `after_end` is set.

    Reference: I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
    ICLR 2017, arXiv 1608.03983; k-decay: T. Zhang, W. Li, arXiv 2004.05909.

    >>> from nshtrainer import RunLength
    >>> curve = CosineScheduleConfig(min_factor=0.1).curve(RunLength(total_steps=4))
    >>> [round(curve(step), 3) for step in range(6)]
    [1.0, 0.868, 0.55, 0.232, 0.1, 0.1]
    """

    name: Literal["cosine"] = "cosine"

    num_cycles: Positive = 0.5
    """Waves from the beginning to the end; with 1.5 the rate falls, rises and falls again."""

    k_decay: Positive = 1.0
    """Exponent k on the elapsed share: above 1 the rate stays high for longer."""

    def shape(self) -> CosineShape:
        """Return the shape of the wave."""
        return CosineShape(self.num_cycles, self.k_decay)


@lr_scheduler_registry.register
class HalfCosineScheduleConfig(DecayScheduleConfigBase):
    """The second half of a cosine, steep at first: f(x) = 1 - sin(pi x / 2).

    The base rate is the rate at which the second half begins. OLMo-core's `HalfCosWithWarmup` takes
    the peak of the whole cosine instead, which is 2 / (1 + m) times as high for a minimum of m
    times that peak.

    Reference: `HalfCosWithWarmup` of OLMo-core; the cosine: I. Loshchilov, F. Hutter, arXiv
    1608.03983.

    >>> from nshtrainer import RunLength
    >>> curve = HalfCosineScheduleConfig().curve(RunLength(total_steps=4))
    >>> [round(curve(step), 3) for step in range(6)]
    [1.0, 0.617, 0.293, 0.076, 0.0, 0.0]
    """

    name: Literal["half_cosine"] = "half_cosine"

    def shape(self) -> HalfCosineShape:
        """Return the shape of the second half."""
        return HalfCosineShape()


@lr_scheduler_registry.register
class PolynomialScheduleConfig(DecayScheduleConfigBase):
    """A power of the remaining share of the run: f(x) = (1 - x)^p.

    Reference: `torch.optim.lr_scheduler.PolynomialLR`; L.-C. Chen et al., "DeepLab", arXiv
    1606.00915, which takes p = 0.9.

    >>> from nshtrainer import RunLength
    >>> curve = PolynomialScheduleConfig(power=2).curve(RunLength(total_steps=4))
    >>> [curve(step) for step in range(5)]
    [1.0, 0.5625, 0.25, 0.0625, 0.0]
    """

    example = """
warmup_duration: 10%
power: 2
"""

    name: Literal["polynomial"] = "polynomial"

    power: Positive = 1.0
    """Exponent p: 1 is linear, more falls faster at first."""

    def shape(self) -> PowerShape:
        """Return the shape of the power."""
        return PowerShape(self.power)


@lr_scheduler_registry.register
class RexScheduleConfig(DecayScheduleConfigBase):
    """The reflected exponential: f(x) = (1 - x) / (1 - x / 2), high for long and steep at last.

    Reference: J. Chen, C. Wolfe, A. Kyrillidis, "REX: Revisiting Budgeted Training with an Improved
    Schedule", MLSys 2022, arXiv 2107.04197.

    >>> from nshtrainer import RunLength
    >>> curve = RexScheduleConfig().curve(RunLength(total_steps=4))
    >>> [round(curve(step), 3) for step in range(5)]
    [1.0, 0.857, 0.667, 0.4, 0.0]
    """

    name: Literal["rex"] = "rex"

    def shape(self) -> ReflectedExponentialShape:
        """Return the shape of the reflected exponential."""
        return ReflectedExponentialShape()


@lr_scheduler_registry.register
class TanhScheduleConfig(DecayScheduleConfigBase):
    """A hyperbolic tangent: f(x) is (1 - tanh(l + (u - l) x)) / 2, scaled to go from 1 to 0.

    High for long, then steep, then slow at last; l and u are the bounds. The paper and timm do not
    scale, and so begin a little below 1 and end 0.0025 above 0 for u = 3.

    Reference: B.-Y. Hsueh, W. Li, I-C. Wu, "Stochastic Gradient Descent with Hyperbolic-Tangent
    Decay on Classification", WACV 2019, arXiv 1806.01593.

    >>> from nshtrainer import RunLength
    >>> curve = TanhScheduleConfig().curve(RunLength(total_steps=4))
    >>> [round(curve(step), 3) for step in range(5)]
    [1.0, 0.999, 0.952, 0.18, 0.0]
    """

    name: Literal["tanh"] = "tanh"

    lower_bound: Annotated[float, Field(ge=-20, le=0, strict=True)] = -6.0
    """Bound l of the tangent at the start of the decay, in [-20, 0]."""

    upper_bound: Annotated[float, Field(gt=0, le=20, strict=True)] = 3.0
    """Bound u of the tangent at the end of the decay, in (0, 20]."""

    def shape(self) -> TanhShape:
        """Return the shape of the tangent."""
        return TanhShape(self.lower_bound, self.upper_bound)
