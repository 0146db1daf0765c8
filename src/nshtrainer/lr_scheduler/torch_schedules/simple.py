"""PyTorch's schedulers of one factor."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.lr_scheduler.curves import (
    CosineShape,
    Decay,
    Exponential,
    MultiStep,
    Piecewise,
    PowerShape,
    WarmRestarts,
)
from nshtrainer.lr_scheduler.torch_schedules.base import (
    BETWEEN,
    Anneal,
    Milestones,
    TorchScheduleConfigBase,
    factor,
    least,
)
from nshtrainer.lr_scheduler.track import Curve
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
    """Torch's `StepLR`, similar to `step`: gamma^floor(t / T), T the step size.

    >>> list(map(StepLRConfig(step_size=2, gamma=0.5).curve(RunLength()), range(6)))
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    example = "step_size: 3\ngamma: 0.5\nunit: epoch"
    name: Literal["step_lr"] = "step_lr"
    step_size: PositiveInt
    """Counts between two drops."""
    gamma: NonNegative = 0.1
    """Factor on the rate at each drop."""

    def counted(self, run: RunLength) -> Curve:
        return Exponential(self.gamma, self.step_size, staircase=self.step_size > 1)


@lr_scheduler_registry.register
class MultiStepLRConfig(TorchScheduleConfigBase):
    """Torch's `MultiStepLR`, similar to `multi_step`: gamma^(milestones reached).

    Torch takes milestones in any order and more than once; here each comes after the one before.

    >>> config = MultiStepLRConfig(milestones=(1, 3), gamma=0.5, unit="epoch")
    >>> list(map(config.curve(RunLength(steps_per_epoch=2)), range(8)))
    [1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    """

    example = "milestones: [5, 8]\nunit: epoch"
    name: Literal["multi_step_lr"] = "multi_step_lr"
    milestones: Annotated[Milestones, Field(min_length=1)]
    """Counts at which the rate drops, in order."""
    gamma: NonNegative = 0.1
    """Factor on the rate at each drop."""

    def counted(self, run: RunLength) -> Curve:
        return MultiStep(self.milestones, self.gamma)


@lr_scheduler_registry.register
class ConstantLRConfig(TorchScheduleConfigBase):
    """Torch's `ConstantLR`: a factor up to a count, and the full rate from then on.

    For a constant rate use `constant`. With a factor of 0 torch's scheduler fails at the end.

    >>> list(map(ConstantLRConfig(factor=0.5, total_iters=2).curve(RunLength()), range(4)))
    [0.5, 0.5, 1.0, 1.0]
    """

    example = "factor: 0.1\ntotal_iters: 200"
    name: Literal["constant_lr"] = "constant_lr"
    factor: Fraction = 1 / 3
    """Factor on the rate at first."""
    total_iters: PositiveInt = 5
    """Counts with the factor."""

    def counted(self, run: RunLength) -> Curve:
        return Piecewise((0, self.total_iters), (self.factor, 1.0), "constant")


@lr_scheduler_registry.register
class LinearLRConfig(TorchScheduleConfigBase):
    """Torch's `LinearLR`, similar to `warmup_duration`: a straight line between two factors.

    After that the second factor applies. Unlike in torch, the first one may be 0.

    >>> list(map(LinearLRConfig(start_factor=0.5, total_iters=4).curve(RunLength()), range(6)))
    [0.5, 0.625, 0.75, 0.875, 1.0, 1.0]
    """

    example = "start_factor: 0.1\ntotal_iters: 200"
    name: Literal["linear_lr"] = "linear_lr"
    start_factor: Fraction = 1 / 3
    """Factor at the first step."""
    end_factor: Fraction = 1.0
    """Factor from the end on."""
    total_iters: PositiveInt = 5
    """Counts from the start to the end."""

    def counted(self, run: RunLength) -> Curve:
        return Piecewise((0, self.total_iters), (self.start_factor, self.end_factor))


@lr_scheduler_registry.register
class ExponentialLRConfig(TorchScheduleConfigBase):
    """Torch's `ExponentialLR`, similar to `exponential`: gamma^t.

    >>> list(map(ExponentialLRConfig(gamma=0.5).curve(RunLength()), range(4)))
    [1.0, 0.5, 0.25, 0.125]
    """

    example = "gamma: 0.8\nunit: epoch"
    name: Literal["exponential_lr"] = "exponential_lr"
    gamma: NonNegative
    """Factor on the rate with each count; above 1 the rate grows, as in a range test."""

    def counted(self, run: RunLength) -> Curve:
        return Exponential(self.gamma)


@lr_scheduler_registry.register
class PolynomialLRConfig(TorchScheduleConfigBase):
    """Torch's `PolynomialLR`, similar to `polynomial`: (1 - t / T)^p up to T, and 0 from then on.

    >>> list(map(PolynomialLRConfig(total_iters=4, power=2).curve(RunLength()), range(6)))
    [1.0, 0.5625, 0.25, 0.0625, 0.0, 0.0]
    """

    example = "total_iters: 900\npower: 2"
    name: Literal["polynomial_lr"] = "polynomial_lr"
    total_iters: PositiveInt = 5
    """Counts from the full rate to 0."""
    power: NonNegative = 1.0
    """Exponent p."""

    def counted(self, run: RunLength) -> Curve:
        return Decay(PowerShape(self.power), length=self.total_iters, last=self.total_iters)


@lr_scheduler_registry.register
class CosineAnnealingLRConfig(TorchScheduleConfigBase):
    """Torch's `CosineAnnealingLR`, similar to `cosine`: e + (b - e) (1 + cos(pi t / T)) / 2.

    The rate falls from the base rate b to the least rate e at T. As in torch it then rises again to
    b at 2 T, and so on; `cosine` keeps its end value. Torch accepts an e above b, which is an error
    here.

    >>> list(map(CosineAnnealingLRConfig(T_max=2).curve(RunLength()), range(5)))
    [1.0, 0.5, 0.0, 0.5, 1.0]
    """

    example = "T_max: 600\neta_min: 1e-4"
    name: Literal["cosine_annealing_lr"] = "cosine_annealing_lr"
    T_max: PositiveInt
    """Counts from the full rate to the least."""
    eta_min: NonNegative = 0.0
    """Least rate, an absolute one."""

    def counted(self, run: RunLength) -> Curve:
        end = least(run, self.eta_min)
        return Decay(CosineShape(), self.T_max, end=end, after="mirror", last=self.T_max)


@lr_scheduler_registry.register
class CosineAnnealingWarmRestartsConfig(TorchScheduleConfigBase):
    """Torch's `CosineAnnealingWarmRestarts`, similar to `cosine_restarts`: cycles of a cosine.

    Each cycle is T_mult times as long as the one before. Torch finds the cycle by a logarithm if
    the count is passed, as when a run is resumed by hand, and misses some of the restarts; here
    whole numbers are counted.

    Reference: I. Loshchilov, F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts",
    ICLR 2017, arXiv 1608.03983.

    >>> curve = CosineAnnealingWarmRestartsConfig(T_0=2, T_mult=2).curve(RunLength())
    >>> [round(curve(step), 3) for step in range(7)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    example = "T_0: 100\nT_mult: 2"
    name: Literal["cosine_annealing_warm_restarts"] = "cosine_annealing_warm_restarts"
    T_0: PositiveInt
    """Counts of the first cycle."""
    T_mult: PositiveInt = 1
    """Factor on the length of the cycle with each restart."""
    eta_min: NonNegative = 0.0
    """Least rate, an absolute one."""

    def counted(self, run: RunLength) -> Curve:
        return WarmRestarts(CosineShape(), self.T_0, self.T_mult, end=least(run, self.eta_min))


@lr_scheduler_registry.register
class SWALRConfig(TorchScheduleConfigBase):
    """Torch's `SWALR`: from the base rate to the constant rate of stochastic weight averaging.

    Torch begins at the current rate of the group. To begin late, make this schedule a part of
    `sequential_lr`; there, too, it begins at the base rate.

    Reference: `torch.optim.swa_utils.SWALR`; P. Izmailov et al., "Averaging Weights Leads to Wider
    Optima and Better Generalization", UAI 2018, arXiv 1803.05407.

    >>> config = SWALRConfig(swa_lr=0.05, anneal_epochs=2, anneal_strategy="linear")
    >>> list(map(config.curve(RunLength(base_lr=0.1)), range(4)))
    [1.0, 0.75, 0.5, 0.5]
    """

    example = "swa_lr: 2e-4\nanneal_epochs: 5\nunit: epoch"
    name: Literal["swa_lr"] = "swa_lr"
    swa_lr: NonNegative
    """Rate at the end, an absolute one; it may lie above the base rate."""
    anneal_epochs: NonNegativeInt = 10
    """Counts from the base rate to `swa_lr`."""
    anneal_strategy: Anneal = "cos"
    """Way between the rates: half a cosine wave, or a straight line."""

    def counted(self, run: RunLength) -> Curve:
        factors = (1.0, factor(run, self.swa_lr, "swa_lr"))
        return Piecewise((0, self.anneal_epochs), factors, BETWEEN[self.anneal_strategy])
