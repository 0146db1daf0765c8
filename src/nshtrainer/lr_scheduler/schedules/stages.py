"""Schedules in stages: a warm-up, the full rate for a while, and a decay at the end."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction as Exact
from itertools import pairwise
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from nshtrainer.duration import DurationConfig, DurationField, FractionConfig, Position
from nshtrainer.exceptions import ScheduleError
from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.lr_scheduler.curves import (
    FALLS,
    CosineShape,
    Decay,
    GeometricDecay,
    InverseShape,
    Override,
    Periods,
    Shape,
    StableDecay,
)
from nshtrainer.lr_scheduler.schedules.base import (
    FiniteScheduleConfigBase,
    MinimumScheduleConfigBase,
    WarmupScheduleConfigBase,
)
from nshtrainer.lr_scheduler.schedules.checks import positive_steps, too_long
from nshtrainer.lr_scheduler.schedules.field_types import DecayShape
from nshtrainer.run_length import RunLength
from nshtrainer.types import Fraction, NonNegative, Positive

__all__ = [
    "CosineLinearTailScheduleConfig",
    "FlatCosineScheduleConfig",
    "MultiPeriodStableDecayScheduleConfig",
    "TriStageScheduleConfig",
    "WarmupStableDecayScheduleConfig",
]


def _stable_decay(stable: int, length: int, shape: Shape, end: float, hit_end: bool) -> StableDecay:
    return StableDecay(stable, Decay(shape, length, end, last=max(1, length - hit_end)))


@lr_scheduler_registry.register
class WarmupStableDecayScheduleConfig(FiniteScheduleConfigBase):
    """A warm-up, the full rate for the remaining steps, and a decay at the end.

    With a decay of D steps that ends at M, the factor is 1 up to M - D, then m + (1 - m) f(x) with
    x from 0 to 1, and m from M on.

    A run can be prolonged from any checkpoint before the decay, which is useful if the length of
    the run is not settled. The shape `exponential` is f(x) = 2^(1 - x) - 1, Megatron's, which
    reaches 0; the paper's 0.5^x ends at a half.

    Reference: S. Hu et al., "MiniCPM", arXiv 2404.06395; the shape 1-sqrt: A. Hägele et al.,
    "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", arXiv 2405.18392.

    Raises:
        ScheduleError: Warm-up and decay together are longer than the whole.

    >>> from nshtrainer import RunLength
    >>> config = WarmupStableDecayScheduleConfig(decay_duration="4 steps", decay_shape="linear")
    >>> curve = config.curve(RunLength(total_steps=8))
    >>> [curve(step) for step in (0, 4, 5, 6, 7, 8, 9)]
    [1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    name: Literal["warmup_stable_decay"] = "warmup_stable_decay"

    decay_duration: DurationField = cast("Any", FractionConfig(value=0.1))
    """Duration of the decay at the end."""

    decay_shape: DecayShape = "1-sqrt"
    """Shape of the decay: 1-sqrt is steep at first, 1-square at last."""

    def after_warmup(self, run: RunLength, warmup: int) -> StableDecay:
        """Return the full rate for the remaining steps, then the decay."""
        stable, length = self.last_part(run, warmup, self.decay_duration, "decay_duration")
        shape = FALLS[self.decay_shape]
        return _stable_decay(stable, length, shape, self.minimum(run), self.hit_end)


@lr_scheduler_registry.register
class MultiPeriodStableDecayScheduleConfig(WarmupScheduleConfigBase, MinimumScheduleConfigBase):
    """WSD-S: several periods at the full rate, each with a decay at its end.

    In a period of L steps the factor is 1, then m + (1 - m) f(x) in the last L times the decay's
    share; with the next period it is 1 again, without a warm-up. After the last it stays at m. The
    shape `inverse` is the paper's: 1 / factor goes to 1 / m in a straight line.

    Each period ends with a usable model, and the next period continues from it.

    Reference: K. Wen et al., "Understanding Warmup-Stable-Decay Learning Rates: A River Valley
    Loss Landscape Perspective", arXiv 2410.05192.

    Raises:
        ScheduleError: A period has no steps; the first has no room for the warm-up; the minimum is
            0, which the shape `inverse` cannot reach.

    >>> from nshtrainer import RunLength
    >>> config = MultiPeriodStableDecayScheduleConfig(
    ...     periods=("4 steps", "4 steps"), decay_fraction=0.5, decay_shape="linear", min_factor=0
    ... )
    >>> curve = config.curve(RunLength())
    >>> [curve(step) for step in range(10)]
    [1.0, 1.0, 1.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    """

    example = """
warmup_duration: 5%
periods: [40%, 30%, 30%]
"""

    name: Literal["wsd_s"] = "wsd_s"

    periods: Annotated[tuple[DurationConfig, ...], Field(min_length=1)]
    """Duration of each period, its decay included; the first one also includes the warm-up."""

    decay_fraction: Fraction = 0.1
    """Share of each period that its decay takes, in [0, 1]; rounded up to a step."""

    decay_shape: DecayShape | Literal["inverse"] = "inverse"
    """Shape of the decay at the end of each period."""

    min_factor: NonNegative = 0.1
    """Factor at the end of each decay."""

    def after_warmup(self, run: RunLength, warmup: int) -> Periods:
        """Return the periods, the first without its warm-up."""
        ends = self._ends(run)
        share = Decimal(repr(self.decay_fraction))
        lengths = [end - begin for begin, end in pairwise([0, *map(math.ceil, ends)])]
        decays = [math.ceil(share * length) for length in lengths]
        if self.warmup_end(run) + Exact(share) * ends[0] > ends[0]:
            text = (
                f"warmup_duration ({warmup} steps) and the decay of the first period "
                f"({decays[0]} steps) together are longer than the period ({lengths[0]} steps)"
            )
            too_long(run, text, "shorten one of them")
        decays[0] = max(0, min(decays[0], lengths[0] - warmup))
        return Periods(
            tuple(max(0, math.ceil(end) - warmup) for end in ends), tuple(decays), *self._fall(run)
        )

    def _ends(self, run: RunLength) -> list[Position]:
        ends: list[Position] = []
        for place, period in enumerate(self.periods):
            field = f"periods.{place}"
            positive_steps(period, run, field)
            ends.append(period.after(run, field, ends[-1] if ends else 0))
        return ends

    def _fall(self, run: RunLength) -> tuple[Shape, float]:
        end = self.minimum(run)
        if self.decay_shape != "inverse":
            return FALLS[self.decay_shape], end
        if end == 0:
            raise ScheduleError(
                "decay_shape: inverse needs a minimum above 0; raise min_factor or min_lr, or take "
                "another shape"
            )
        return InverseShape(end), end


@lr_scheduler_registry.register
class TriStageScheduleConfig(FiniteScheduleConfigBase):
    """A warm-up, the full rate for a while, and an exponential decay to the end.

    With the decay from H to M the factor is m^((t - H) / (M - H)) in between: equal ratios in equal
    times.

    Reference: D. Park et al., "SpecAugment", arXiv 1904.08779; fairseq's `tri_stage`, by which
    wav2vec 2.0 is trained, arXiv 2006.11477.

    Raises:
        ScheduleError: Warm-up and hold together are longer than the whole; the minimum is 0.

    >>> from nshtrainer import RunLength
    >>> config = TriStageScheduleConfig(hold_duration="2 steps", min_factor=0.0625)
    >>> curve = config.curve(RunLength(total_steps=6))
    >>> [curve(step) for step in range(8)]
    [1.0, 1.0, 1.0, 0.5, 0.25, 0.125, 0.0625, 0.0625]
    """

    name: Literal["tri_stage"] = "tri_stage"

    hold_duration: DurationField = cast("Any", FractionConfig(value=0.4))
    """Duration of the full rate after the warm-up."""

    min_factor: Positive = 0.01
    """Factor at the end of the decay, above 0."""

    def after_warmup(self, run: RunLength, warmup: int) -> StableDecay:
        """Return the full rate, then the decay over the remaining steps."""
        risen = self.warmup_end(run)
        held = self.hold_duration.after(run, "hold_duration", risen)
        parts = {"warmup_duration": risen, "hold_duration": held - risen}
        length = self.remaining(run, parts)
        hold = math.ceil(held) - warmup
        end = self.minimum(run)
        if end == 0:
            raise ScheduleError("min_lr is 0, which an exponential never reaches; raise it")
        return StableDecay(hold, GeometricDecay(max(0, length - self.hit_end), end))


@lr_scheduler_registry.register
class FlatCosineScheduleConfig(FiniteScheduleConfigBase):
    """The full rate up to a point, and from there half a cosine wave down to the end.

    Reference: `fit_flat_cos` of fastai, J. Howard, S. Gugger, "fastai: A Layered API for Deep
    Learning", arXiv 2002.04688; the cosine: I. Loshchilov, F. Hutter, arXiv 1608.03983.

    Raises:
        ScheduleError: The flat part ends within the warm-up, or after the whole.

    >>> from nshtrainer import RunLength
    >>> curve = FlatCosineScheduleConfig(flat_duration="50%").curve(RunLength(total_steps=4))
    >>> [round(curve(step), 3) for step in range(6)]
    [1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    """

    name: Literal["flat_cosine"] = "flat_cosine"

    flat_duration: DurationField = cast("Any", FractionConfig(value=0.75))
    """Start of the decay, counted from the beginning of the run: warm-up included."""

    def after_warmup(self, run: RunLength, warmup: int) -> StableDecay:
        """Return the flat part, then the wave."""
        exact = self.flat_duration.exact(run, "flat_duration")
        flat = math.ceil(exact)
        length = self.remaining(run, {"flat_duration": max(exact, warmup)})
        if exact < self.warmup_end(run):
            text = (
                f"flat_duration ({flat} steps) counts from the beginning of the run, and ends "
                f"within the warm-up of {warmup} steps"
            )
            too_long(run, text, "lengthen the one or shorten the other")
        return _stable_decay(
            max(0, flat - warmup), length, CosineShape(), self.minimum(run), self.hit_end
        )


@lr_scheduler_registry.register
class CosineLinearTailScheduleConfig(FiniteScheduleConfigBase):
    """A truncated cosine, then a straight line down to the end.

    The cosine spans the whole run, down to `cosine_min_factor`; the tail begins at the value of the
    cosine at that step.

    Reference: `CosWithWarmupAndLinearDecay` of OLMo-core, Team OLMo, "2 OLMo 2 Furious", arXiv
    2501.00656.

    Raises:
        ScheduleError: Warm-up and tail together are longer than the whole.

    >>> from nshtrainer import RunLength
    >>> config = CosineLinearTailScheduleConfig(tail_duration="50%", cosine_min_factor=0)
    >>> curve = config.curve(RunLength(total_steps=4))
    >>> [round(curve(step), 3) for step in range(6)]
    [1.0, 0.854, 0.5, 0.25, 0.0, 0.0]
    """

    name: Literal["cosine_linear_tail"] = "cosine_linear_tail"

    tail_duration: DurationField = cast("Any", FractionConfig(value=0.1))
    """Duration of the straight line at the end; 0 steps for a jump at the end of the cosine."""

    cosine_min_factor: NonNegative = 0.1
    """Factor that the cosine would reach at the end of the whole."""

    min_factor: NonNegative = 0.0
    """Factor at the end of the tail."""

    def after_warmup(self, run: RunLength, warmup: int) -> Override:
        """Return the cosine, then the tail."""
        start, tail = self.last_part(run, warmup, self.tail_duration, "tail_duration")
        length = start + tail
        cosine = Decay(CosineShape(), length, self.cosine_min_factor, last=max(1, length))
        return Override(cosine, start, max(0, tail - self.hit_end), self.minimum(run))
