"""Torch's own schedulers by their names, each with its constructor's arguments and defaults."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.lr_scheduler.curves import (
    CosineShape,
    Decay,
    Geometric,
    MultiStep,
    Piecewise,
    PowerShape,
    WarmRestarts,
)
from nshtrainer.lr_scheduler.torch_schedules.base import (
    Milestones,
    TorchScheduleConfigBase,
    factor,
    least,
)
from nshtrainer.run_length import RunLength
from nshtrainer.types import Fraction, NonNegative, NonNegativeInt, PositiveInt

__all__ = [
    "ConstantLRConfig",
    "CosineAnnealingLRConfig",
    "CosineAnnealingWarmRestartsConfig",
    "ExponentialLRConfig",
    "LinearLRConfig",
    "MultiStepLRConfig",
    "PolynomialLRConfig",
    "SWALRConfig",
    "StepLRConfig",
]


@lr_scheduler_registry.register
class StepLRConfig(TorchScheduleConfigBase):
    """Torch's `StepLR`: gamma^floor(t / T), T the step size.

    >>> from nshtrainer import RunLength
    >>> curve = StepLRConfig(step_size=2, gamma=0.5).curve(RunLength())
    >>> [curve(step) for step in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    example = """
step_size: 3
gamma: 0.5
unit: epoch
"""

    name: Literal["step_lr"] = "step_lr"

    step_size: PositiveInt
    """Counts between two falls."""

    gamma: NonNegative = 0.1
    """What the rate is multiplied by each time."""

    def counted(self, run: RunLength) -> Geometric:  # noqa: ARG002 - see the base
        """The stairs."""
        return Geometric(self.gamma, self.step_size)


@lr_scheduler_registry.register
class MultiStepLRConfig(TorchScheduleConfigBase):
    """Torch's `MultiStepLR`: gamma to the power of how many milestones are reached.

    Torch takes milestones in any order and more than once; here each comes after the one before.

    >>> from nshtrainer import RunLength
    >>> run = RunLength(steps_per_epoch=2)
    >>> curve = MultiStepLRConfig(milestones=(1, 3), gamma=0.5, unit="epoch").curve(run)
    >>> [curve(step) for step in range(8)]
    [1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    """

    example = """
milestones: [5, 8]
unit: epoch
"""

    name: Literal["multi_step_lr"] = "multi_step_lr"

    milestones: Annotated[Milestones, Field(min_length=1)]
    """Counts at which the rate falls, in their order."""

    gamma: NonNegative = 0.1
    """What the rate is multiplied by each time."""

    def counted(self, run: RunLength) -> MultiStep:  # noqa: ARG002 - see the base
        """The stairs."""
        return MultiStep(self.milestones, self.gamma)


@lr_scheduler_registry.register
class ConstantLRConfig(TorchScheduleConfigBase):
    """Torch's `ConstantLR`: a factor up to a count, and the full rate from then on.

    A rate that is the same for ever is `constant`. With a factor of 0 torch's fails at the end.

    >>> from nshtrainer import RunLength
    >>> curve = ConstantLRConfig(factor=0.5, total_iters=2).curve(RunLength())
    >>> [curve(step) for step in range(4)]
    [0.5, 0.5, 1.0, 1.0]
    """

    example = """
factor: 0.1
total_iters: 200
"""

    name: Literal["constant_lr"] = "constant_lr"

    factor: Fraction = 1 / 3
    """What the rate is multiplied by at first."""

    total_iters: PositiveInt = 5
    """Counts for which it is."""

    def counted(self, run: RunLength) -> Piecewise:  # noqa: ARG002 - see the base
        """The stair."""
        return Piecewise((0, self.total_iters), (self.factor, 1.0), "constant")


@lr_scheduler_registry.register
class LinearLRConfig(TorchScheduleConfigBase):
    """Torch's `LinearLR`: a straight line from one factor to another, where it stays.

    Unlike torch's it takes a start of 0.

    >>> from nshtrainer import RunLength
    >>> curve = LinearLRConfig(start_factor=0.5, total_iters=4).curve(RunLength())
    >>> [curve(step) for step in range(6)]
    [0.5, 0.625, 0.75, 0.875, 1.0, 1.0]
    """

    example = """
start_factor: 0.1
total_iters: 200
"""

    name: Literal["linear_lr"] = "linear_lr"

    start_factor: Fraction = 1 / 3
    """Factor at the first update."""

    end_factor: Fraction = 1.0
    """Factor from the end on."""

    total_iters: PositiveInt = 5
    """Counts from the start to the end."""

    def counted(self, run: RunLength) -> Piecewise:  # noqa: ARG002 - see the base
        """The line."""
        return Piecewise((0, self.total_iters), (self.start_factor, self.end_factor))


@lr_scheduler_registry.register
class ExponentialLRConfig(TorchScheduleConfigBase):
    """Torch's `ExponentialLR`: gamma^t.

    >>> from nshtrainer import RunLength
    >>> curve = ExponentialLRConfig(gamma=0.5).curve(RunLength())
    >>> [curve(step) for step in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """

    example = """
gamma: 0.8
unit: epoch
"""

    name: Literal["exponential_lr"] = "exponential_lr"

    gamma: NonNegative
    """What the rate is multiplied by with each count; above 1 it grows, as in a range test."""

    def counted(self, run: RunLength) -> Geometric:  # noqa: ARG002 - see the base
        """The fall."""
        return Geometric(self.gamma)


@lr_scheduler_registry.register
class PolynomialLRConfig(TorchScheduleConfigBase):
    """Torch's `PolynomialLR`: (1 - t / T)^p up to T, and 0 from then on.

    >>> from nshtrainer import RunLength
    >>> curve = PolynomialLRConfig(total_iters=4, power=2).curve(RunLength())
    >>> [curve(step) for step in range(6)]
    [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    """

    example = """
total_iters: 900
power: 2
"""

    name: Literal["polynomial_lr"] = "polynomial_lr"

    total_iters: PositiveInt = 5
    """Counts from the full rate to 0."""

    power: NonNegative = 1.0
    """The exponent p."""

    def counted(self, run: RunLength) -> Decay:  # noqa: ARG002 - see the base
        """The power."""
        return Decay(PowerShape(self.power), length=self.total_iters, last=self.total_iters)


@lr_scheduler_registry.register
class CosineAnnealingLRConfig(TorchScheduleConfigBase):
    """Torch's `CosineAnnealingLR`: e + (b - e) (1 + cos(pi t / T)) / 2.

    It goes from the base rate b down to the least rate e at T. Like torch's it then climbs again,
    back to b at 2 T, and so on; `cosine` stays at its end. Torch's takes an e above b, which is an
    error here.

    >>> from nshtrainer import RunLength
    >>> curve = CosineAnnealingLRConfig(T_max=4).curve(RunLength())
    >>> [round(curve(step), 3) for step in (0, 2, 4, 6, 8)]
    [1.0, 0.5, 0.0, 0.5, 1.0]
    """

    example = """
T_max: 600
eta_min: 1e-4
"""

    name: Literal["cosine_annealing_lr"] = "cosine_annealing_lr"

    T_max: PositiveInt
    """Counts from the full rate to the least."""

    eta_min: NonNegative = 0.0
    """The least rate, an absolute one."""

    def counted(self, run: RunLength) -> Decay:
        """The wave."""
        end = least(run, self.eta_min)
        return Decay(CosineShape(), self.T_max, end=end, after="mirror", last=self.T_max)


@lr_scheduler_registry.register
class CosineAnnealingWarmRestartsConfig(TorchScheduleConfigBase):
    """Torch's `CosineAnnealingWarmRestarts`: a cosine that begins anew, each time T_mult as long.

    Torch finds the cycle by a logarithm where it is told the count, as when a run is resumed by
    hand, and misses some of the restarts; here whole numbers are counted.

    Reference: I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
    ICLR 2017, arXiv 1608.03983.

    >>> from nshtrainer import RunLength
    >>> curve = CosineAnnealingWarmRestartsConfig(T_0=2, T_mult=2).curve(RunLength())
    >>> [round(curve(step), 3) for step in range(7)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    example = """
T_0: 100
T_mult: 2
"""

    name: Literal["cosine_annealing_warm_restarts"] = "cosine_annealing_warm_restarts"

    T_0: PositiveInt
    """Counts of the first cycle."""

    T_mult: PositiveInt = 1
    """How many times as long each cycle is as the one before."""

    eta_min: NonNegative = 0.0
    """The least rate, an absolute one."""

    def counted(self, run: RunLength) -> WarmRestarts:
        """The cycles."""
        return WarmRestarts(CosineShape(), self.T_0, self.T_mult, end=least(run, self.eta_min))


@lr_scheduler_registry.register
class SWALRConfig(TorchScheduleConfigBase):
    """Torch's `SWALR`: from the base rate to that of stochastic weight averaging, where it stays.

    Torch's begins at whatever rate stands in the group. To begin it late, make it a part of
    `sequential_lr`; there, too, it begins at the base rate.

    Reference: `torch.optim.swa_utils.SWALR`; P. Izmailov et al., "Averaging Weights Leads to Wider
    Optima and Better Generalization", UAI 2018, arXiv 1803.05407.

    >>> from nshtrainer import RunLength
    >>> config = SWALRConfig(swa_lr=0.05, anneal_epochs=2, anneal_strategy="linear")
    >>> curve = config.curve(RunLength(base_lr=0.1))
    >>> [curve(step) for step in range(4)]
    [1.0, 0.75, 0.5, 0.5]
    """

    example = """
swa_lr: 2e-4
anneal_epochs: 5
unit: epoch
"""

    name: Literal["swa_lr"] = "swa_lr"

    swa_lr: NonNegative
    """The rate at the end, an absolute one; it may lie above the base rate."""

    anneal_epochs: NonNegativeInt = 10
    """Counts from the one to the other."""

    anneal_strategy: Literal["cos", "linear"] = "cos"
    """The way: half a cosine wave, or a straight line."""

    def counted(self, run: RunLength) -> Piecewise:
        """The way."""
        end = factor(run, self.swa_lr, "swa_lr")
        between = "linear" if self.anneal_strategy == "linear" else "cosine"
        return Piecewise((0, self.anneal_epochs), (1.0, end), between)
