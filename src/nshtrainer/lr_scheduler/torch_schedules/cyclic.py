"""PyTorch's schedulers of absolute rates, which move the momentum against the rate."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field, model_validator
from typing_extensions import Self

from nshtrainer.exceptions import RunLengthError
from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.lr_scheduler.compose import CurveConfig, curve_of_part
from nshtrainer.lr_scheduler.curves import OneCycle, TriangleWave, triangle_scale
from nshtrainer.lr_scheduler.torch_schedules.base import (
    BETWEEN,
    Anneal,
    TorchScheduleConfigBase,
    factor,
    refusal,
)
from nshtrainer.lr_scheduler.track import Curve, Track
from nshtrainer.run_length import RunLength
from nshtrainer.types import Fraction, NonNegative, Positive, PositiveInt

__all__ = ["CyclicLRConfig", "OneCycleLRConfig", "TorchCycleConfigBase"]

Points: TypeAlias = tuple[float, float, float]
"""The values of a cycle at its start, its peak and its end."""


class TorchCycleConfigBase(TorchScheduleConfigBase):
    """Absolute rates, the same for every parameter group: write `rates` and `wave`.

    The momentum is `momentum` of SGD and similar optimizers, or the first of the betas of Adam
    and similar ones. Torch also takes a list with one number for each group; here all groups share
    one number.
    """

    if TYPE_CHECKING:  # fields of each class, in the order of torch's constructor
        max_lr: Positive
        cycle_momentum: bool
        base_momentum: Fraction
        max_momentum: Fraction

    @abstractmethod
    def rates(self, scale: float) -> Points:
        """Return the rates of a cycle, multiplied by a scale."""

    @abstractmethod
    def wave(self, points: Points, run: RunLength) -> Curve:
        """Return the cycle through some points, as a function of the counts so far."""

    def counted(self, run: RunLength) -> Curve:
        # As factors, for schedules that have this one as a part.
        return self.wave(self.rates(factor(run, self.max_lr, "max_lr") / self.max_lr), run)

    def tracks(self, run: RunLength) -> tuple[Track, ...]:
        waves = {"lr": self.rates(1.0)}
        if self.cycle_momentum:
            waves["momentum"] = (self.max_momentum, self.base_momentum, self.max_momentum)
        return tuple(
            Track(name, self.in_steps(partial(self.wave, points), run), "value")
            for name, points in waves.items()
        )


@lr_scheduler_registry.register
class CyclicLRConfig(TorchCycleConfigBase):
    """Torch's `CyclicLR`, similar to `cyclic`: up and down in straight lines, repeated.

    The height of cycle i, from 0, is multiplied by 1 (`triangular`), 1/2^i (`triangular2`), or at
    count t by gamma^t (`exp_range`). Torch's `triangular2` fails after 1024 cycles.

    Reference: L. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, arXiv
    1506.01186.

    >>> config = CyclicLRConfig(base_lr=0.1, max_lr=0.5, step_size_up=2, cycle_momentum=False)
    >>> (rate,) = config.tracks(RunLength())
    >>> [round(rate.curve(step), 3) for step in range(6)]
    [0.1, 0.3, 0.5, 0.3, 0.1, 0.3]
    """

    example = "base_lr: 1e-4\nmax_lr: 1e-3\nstep_size_up: 100\nmode: triangular2"
    name: Literal["cyclic_lr"] = "cyclic_lr"
    base_lr: NonNegative
    """Lowest rate, an absolute one; the rate of the optimizer has no effect."""
    max_lr: Positive
    """Highest rate, an absolute one."""
    step_size_up: PositiveInt = 2000
    """Counts on the way up."""
    step_size_down: PositiveInt | None = None
    """Counts on the way down; left out, as many as on the way up."""
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    """Change of the height: none, by half with each cycle, or by `gamma` with each count."""
    gamma: Fraction = 1.0
    """Factor on the height with each count, for `exp_range`."""
    scale_fn: CurveConfig | None = None
    """Schedule to multiply the height with instead of a `mode`; above 1 it counts as 1."""
    scale_mode: Literal["cycle", "iterations"] = "cycle"
    """Unit of `scale_fn`, from 0: cycles (torch counts them from 1), or calls of `step()`."""
    cycle_momentum: bool = True
    """Move the momentum, too, from the highest where the rate is lowest and back."""
    base_momentum: Fraction = 0.8
    """Lowest momentum."""
    max_momentum: Fraction = 0.9
    """Highest momentum."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        low, high = self.base_lr, self.max_lr
        if low > high:
            raise refusal("base_lr ({low}) is above max_lr ({high})", low=low, high=high)
        if self.base_momentum > self.max_momentum:
            raise refusal("base_momentum is above max_momentum")
        if self.gamma != 1.0 and self.mode != "exp_range":
            raise refusal("gamma has no effect in this mode; leave it out, or set mode: exp_range")
        if self.scale_fn is not None and self.mode != "triangular":
            raise refusal("scale_fn stands instead of a mode; leave one of them out")
        if self.scale_fn is None and self.scale_mode != "cycle":
            raise refusal("scale_mode has no effect without scale_fn; leave it out")
        return self

    def rates(self, scale: float) -> Points:
        return self.base_lr * scale, self.max_lr * scale, self.base_lr * scale

    def wave(self, points: Points, run: RunLength) -> Curve:
        up, down = self.step_size_up, self.step_size_down or self.step_size_up
        scale, per = triangle_scale(self.mode, self.gamma)
        if self.scale_fn is not None:
            scale, per = curve_of_part(self.scale_fn, run), self.scale_mode
        return TriangleWave(*points[:2], up, down, scale, per)


@lr_scheduler_registry.register
class OneCycleLRConfig(TorchCycleConfigBase):
    """Torch's `OneCycleLR`, similar to `one_cycle`: h / d up to h, then down to h / d / D.

    Of N counts the highest rate h has the index p N - 1, with p `pct_start`, and the lowest rate
    the last one, N - 1. With `three_phase` the rate first returns to h / d, as fast as it rose.

    After the end torch's scheduler fails; here the lowest rate stays. If p N is less than 1 there
    is no rise; torch's scheduler then begins with the decay, or divides by zero, and with one count
    in all it has the lowest rate only. Left out, the number of counts is the length of the run.

    Reference: L. Smith, N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using
    Large Learning Rates", arXiv 1708.07120.

    Raises:
        RunLengthError: The number of counts is left out, and the length of the run is unknown.

    >>> config = OneCycleLRConfig(max_lr=1, total_steps=6, pct_start=0.5, anneal_strategy="linear")
    >>> rate, momentum = config.tracks(RunLength())
    >>> [round(rate.curve(step), 3) for step in range(7)]
    [0.04, 0.52, 1.0, 0.667, 0.333, 0.0, 0.0]
    >>> [round(momentum.curve(step), 3) for step in range(7)]
    [0.95, 0.9, 0.85, 0.883, 0.917, 0.95, 0.95]
    """

    example = "max_lr: 1e-3"
    name: Literal["one_cycle_lr"] = "one_cycle_lr"
    max_lr: Positive
    """Highest rate h, an absolute one; the rate of the optimizer has no effect."""
    total_steps: PositiveInt | None = None
    """Counts in all; left out, `epochs` times `steps_per_epoch`, or all of the run."""
    epochs: PositiveInt | None = None
    """Epochs in all, if there is no `total_steps`."""
    steps_per_epoch: PositiveInt | None = None
    """Counts in an epoch, with `epochs`; left out, those of the run."""
    pct_start: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.3
    """Share of the counts on the way up, in (0, 1); with `three_phase` half of them at most."""
    anneal_strategy: Anneal = "cos"
    """Way between the rates: half a cosine wave, or a straight line."""
    cycle_momentum: bool = True
    """Move the momentum, too, from the highest where the rate is lowest and back."""
    base_momentum: Fraction = 0.85
    """Lowest momentum."""
    max_momentum: Fraction = 0.95
    """Highest momentum."""
    div_factor: Positive = 25.0
    """Quotient d of the highest rate and the one at the start."""
    final_div_factor: Positive = 1e4
    """Quotient D of the rate at the start and the one at the end."""
    three_phase: bool = False
    """Go down to the rate at the start first."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if self.base_momentum > self.max_momentum:
            raise refusal("base_momentum is above max_momentum")
        if self.total_steps is not None and (self.epochs or self.steps_per_epoch):
            raise refusal("total_steps makes epochs and steps_per_epoch useless; leave them out")
        if self.steps_per_epoch is not None and self.epochs is None:
            raise refusal("steps_per_epoch has no effect without epochs; leave it out")
        if self.three_phase and self.pct_start > 0.5:
            raise refusal("pct_start must be 0.5 or less with three_phase: up and down take twice")
        if min(self.div_factor, self.div_factor * self.final_div_factor) < 1.0:
            raise refusal("max_lr is not the highest: raise div_factor or final_div_factor")
        return self

    def rates(self, scale: float) -> Points:
        peak = self.max_lr * scale
        start = peak / self.div_factor
        return start, peak, start / self.final_div_factor

    def wave(self, points: Points, run: RunLength) -> Curve:
        if self.epochs is None:
            total = self.total_steps or run.total_steps
        elif self.steps_per_epoch is not None:
            total = self.epochs * self.steps_per_epoch
        else:
            total = run.steps_in_epochs(self.epochs)
        if total is None:
            raise RunLengthError(
                "total_steps is left out, and the length of the run is unknown; give total_steps, "
                "or epochs and steps_per_epoch, or pass RunLength(total_steps=...)"
            )
        shape = BETWEEN[self.anneal_strategy]
        return OneCycle(*points, total, self.pct_start, shape, self.three_phase)
