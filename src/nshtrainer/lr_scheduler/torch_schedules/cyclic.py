"""Torch's schedulers that set rates outright, and move the momentum against them."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import Self

from nshtrainer.exceptions import RunLengthError
from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.lr_scheduler.compose import CurveConfig, curve_of_part
from nshtrainer.lr_scheduler.curves import Constant, Geometric, OneCycle, Triangles
from nshtrainer.lr_scheduler.torch_schedules.base import TorchScheduleConfigBase, factor
from nshtrainer.lr_scheduler.track import Curve, Track
from nshtrainer.run_length import RunLength
from nshtrainer.types import Fraction, NonNegative, Positive, PositiveInt

__all__ = ["CyclicLRConfig", "OneCycleLRConfig", "TorchCycleConfigBase"]


class TorchCycleConfigBase(TorchScheduleConfigBase):
    """Rates that are set outright, for every parameter group the same: write `rates`, `momenta`.

    The momentum is that of SGD and the like, or the first of the betas of Adam and the like.
    Torch takes a list with one number for each group where here one number is for all.
    """

    if TYPE_CHECKING:  # each class has them, where torch's constructor has them
        max_lr: Positive
        cycle_momentum: bool

    @abstractmethod
    def rates(self, run: RunLength, scale: float) -> Curve:
        """The rates, multiplied by a scale, as a function of the counts so far.

        Args:
            run: The length of the run, in counts.
            scale: What each rate is multiplied by.
        """

    @abstractmethod
    def momenta(self, run: RunLength) -> Curve:
        """The momentum as a function of the counts so far.

        Args:
            run: The length of the run, in counts.
        """

    def counted(self, run: RunLength) -> Curve:
        """The rates as factors, for schedules that have this one as a part."""
        return self.rates(run, factor(run, self.max_lr, "max_lr") / self.max_lr)

    def tracks(self, run: RunLength) -> tuple[Track, ...]:
        """The rate, and the momentum if it moves."""
        rates = Track("lr", self.in_steps(lambda run: self.rates(run, 1.0), run), "value")
        if not self.cycle_momentum:
            return (rates,)
        return (rates, Track("momentum", self.in_steps(self.momenta, run), "value"))


def _refuse(text: str, **values: object) -> PydanticCustomError:
    return PydanticCustomError("torchs_options", text, values)  # type: ignore[arg-type]


@lr_scheduler_registry.register
class CyclicLRConfig(TorchCycleConfigBase):
    """Torch's `CyclicLR`: from a base rate up to a highest in a straight line and back, for ever.

    The height of cycle i, from 0, is multiplied by 1 (`triangular`), 1/2^i (`triangular2`), or at
    count t by gamma^t (`exp_range`). Torch's `triangular2` fails after 1024 cycles.

    Reference: L. Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, arXiv
    1506.01186.

    >>> from nshtrainer import RunLength
    >>> config = CyclicLRConfig(base_lr=0.1, max_lr=0.5, step_size_up=2, cycle_momentum=False)
    >>> (rate,) = config.tracks(RunLength())
    >>> [round(rate.curve(step), 3) for step in range(6)]
    [0.1, 0.3, 0.5, 0.3, 0.1, 0.3]
    """

    example = """
base_lr: 1e-4
max_lr: 1e-3
step_size_up: 100
mode: triangular2
"""

    name: Literal["cyclic_lr"] = "cyclic_lr"

    base_lr: NonNegative
    """The lowest rate, an absolute one; the rate of the optimizer has no effect."""

    max_lr: Positive
    """The highest rate, an absolute one."""

    step_size_up: PositiveInt = 2000
    """Counts on the way up."""

    step_size_down: PositiveInt | None = None
    """Counts on the way down; left out, as many as on the way up."""

    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    """How the height changes: not, by half with each cycle, or by `gamma` with each count."""

    gamma: Fraction = 1.0
    """What the height is multiplied by with each count, for `exp_range`."""

    scale_fn: CurveConfig | None = None
    """A schedule to multiply the height with instead of a `mode`; above 1 it counts as 1."""

    scale_mode: Literal["cycle", "iterations"] = "cycle"
    """What `scale_fn` counts, from 0: cycles (torch counts them from 1), or calls of `step()`."""

    cycle_momentum: bool = True
    """Whether the momentum moves, too, from the highest where the rate is lowest and back."""

    base_momentum: Fraction = 0.8
    """The lowest momentum."""

    max_momentum: Fraction = 0.9
    """The highest momentum."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.base_lr > self.max_lr:
            raise _refuse(
                "base_lr ({low}) is above max_lr ({high})", low=self.base_lr, high=self.max_lr
            )
        if self.base_momentum > self.max_momentum:
            raise _refuse("base_momentum is above max_momentum")
        if self.gamma != 1.0 and self.mode != "exp_range":
            raise _refuse("gamma has no effect in this mode; leave it out, or set mode: exp_range")
        if self.scale_fn is not None and self.mode != "triangular":
            raise _refuse("scale_fn stands instead of a mode; leave one of them out")
        if self.scale_fn is None and self.scale_mode != "cycle":
            raise _refuse("scale_mode has no effect without scale_fn; leave it out")
        return self

    def rates(self, run: RunLength, scale: float) -> Triangles:
        """The triangles of the rate."""
        return self._triangles(run, self.base_lr * scale, self.max_lr * scale)

    def momenta(self, run: RunLength) -> Triangles:
        """The same triangles, upside down."""
        return self._triangles(run, self.max_momentum, self.base_momentum)

    def _triangles(self, run: RunLength, low: float, peak: float) -> Triangles:
        up = self.step_size_up
        scale, per = Constant(1.0), self.scale_mode
        if self.scale_fn is not None:
            scale = curve_of_part(self.scale_fn, run)
        elif self.mode == "triangular2":
            scale = Geometric(0.5)
        elif self.mode == "exp_range":
            scale, per = Geometric(self.gamma), "iterations"
        return Triangles(low, peak, up, self.step_size_down or up, scale, per)


OpenShare = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
"""A share that is neither nothing nor the whole, in (0, 1)."""


@lr_scheduler_registry.register
class OneCycleLRConfig(TorchCycleConfigBase):
    """Torch's `OneCycleLR`: up from h / d to h, then down to h / d / D, with h the highest rate.

    Of N counts the highest has the index p N - 1, with p `pct_start`, and the lowest the last one,
    N - 1. With `three_phase` it is down to h / d first, in the same time as up.

    After the end torch's fails; here the lowest rate stays. Where p N is less than 1 there is no
    way up; torch's then begins on the way down, or divides by zero, and with one count in all it
    has the lowest rate only. Left out, the number of counts is that of the run.

    Reference: L. Smith, N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using
    Large Learning Rates", arXiv 1708.07120.

    Raises:
        RunLengthError: The number of counts is left out, and the length of the run is unknown.

    >>> from nshtrainer import RunLength
    >>> config = OneCycleLRConfig(max_lr=1, total_steps=6, pct_start=0.5, anneal_strategy="linear")
    >>> rate, momentum = config.tracks(RunLength())
    >>> [round(rate.curve(step), 3) for step in range(7)]
    [0.04, 0.52, 1.0, 0.667, 0.333, 0.0, 0.0]
    >>> [round(momentum.curve(step), 3) for step in range(7)]
    [0.95, 0.9, 0.85, 0.883, 0.917, 0.95, 0.95]
    """

    example = """
max_lr: 1e-3
"""

    name: Literal["one_cycle_lr"] = "one_cycle_lr"

    max_lr: Positive
    """The highest rate, an absolute one; the rate of the optimizer has no effect."""

    total_steps: PositiveInt | None = None
    """Counts in all; left out, `epochs` times `steps_per_epoch`, or all of the run."""

    epochs: PositiveInt | None = None
    """Epochs in all, where there is no `total_steps`."""

    steps_per_epoch: PositiveInt | None = None
    """Counts in an epoch, with `epochs`; left out, those of the run."""

    pct_start: OpenShare = 0.3
    """Share of the counts on the way up; with `three_phase` half of them at most."""

    anneal_strategy: Literal["cos", "linear"] = "cos"
    """The way: half a cosine wave, or a straight line."""

    cycle_momentum: bool = True
    """Whether the momentum moves, too, from the highest where the rate is lowest and back."""

    base_momentum: Fraction = 0.85
    """The lowest momentum."""

    max_momentum: Fraction = 0.95
    """The highest momentum."""

    div_factor: Positive = 25.0
    """What the highest rate is divided by at the start."""

    final_div_factor: Positive = 1e4
    """What the rate at the start is divided by at the end."""

    three_phase: bool = False
    """Whether the way down goes to the rate at the start first."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.base_momentum > self.max_momentum:
            raise _refuse("base_momentum is above max_momentum")
        if self.total_steps is not None and (self.epochs or self.steps_per_epoch):
            raise _refuse("total_steps makes epochs and steps_per_epoch useless; leave them out")
        if self.steps_per_epoch is not None and self.epochs is None:
            raise _refuse("steps_per_epoch has no effect without epochs; leave it out")
        if self.three_phase and self.pct_start > 0.5:
            raise _refuse("pct_start must be 0.5 or less with three_phase: up and down take twice")
        if min(self.div_factor, self.div_factor * self.final_div_factor) < 1.0:
            raise _refuse("max_lr is not the highest: raise div_factor or final_div_factor")
        return self

    def rates(self, run: RunLength, scale: float) -> OneCycle:
        """The cycle of the rate."""
        peak = self.max_lr * scale
        start = peak / self.div_factor
        return self._cycle(run, start, peak, start / self.final_div_factor)

    def momenta(self, run: RunLength) -> OneCycle:
        """The cycle of the momentum, which ends where it began."""
        return self._cycle(run, self.max_momentum, self.base_momentum, self.max_momentum)

    def _cycle(self, run: RunLength, start: float, peak: float, end: float) -> OneCycle:
        total, shape = self._total(run), self.anneal_strategy
        return OneCycle(start, peak, end, total, self.pct_start, shape, self.three_phase)

    def _total(self, run: RunLength) -> int:
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
        return total
