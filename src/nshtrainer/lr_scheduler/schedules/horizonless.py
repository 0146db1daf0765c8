"""Schedules that can go on: warmup-stable-decay and the inverse square root."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, cast

from nshtrainer.duration import DurationConfig, DurationField, FractionConfig
from nshtrainer.exceptions import ScheduleError
from nshtrainer.lr_scheduler.base import lr_scheduler_registry
from nshtrainer.lr_scheduler.curves import (
    CosineShape,
    Decay,
    InverseSqrt,
    LinearShape,
    RootShape,
    Shape,
    SquareShape,
    StableDecay,
)
from nshtrainer.lr_scheduler.run_length import RunLength
from nshtrainer.lr_scheduler.schedules.base import WarmupScheduleConfigBase, fitting_warmup
from nshtrainer.types import NonNegative

__all__ = ["InverseSqrtScheduleConfig", "WarmupStableDecayScheduleConfig"]

DecayShape: TypeAlias = Literal["linear", "cosine", "1-sqrt", "1-square"]

_SHAPES: dict[DecayShape, Shape] = {
    "linear": LinearShape(),
    "cosine": CosineShape(),
    "1-sqrt": RootShape(),
    "1-square": SquareShape(),
}


@lr_scheduler_registry.register
class WarmupStableDecayScheduleConfig(WarmupScheduleConfigBase):
    """A warm-up, the full rate for as long as remains, and a decay at the end.

    With a decay of D steps that ends at M, the factor is 1 up to M - D, then m + (1 - m) f(x) with
    x from 0 to 1, and m from M on.

    A run can be prolonged from any checkpoint before the decay, which is why it is used where the
    length of the run is not settled.

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
    """How long the decay at the end takes."""

    max_duration: DurationField = cast("Any", FractionConfig(value=1.0))
    """When the decay ends, counted from the beginning of the run: warm-up included."""

    decay_shape: DecayShape = "1-sqrt"
    """How the rate falls: 1-sqrt is steep at first, 1-square at last."""

    min_factor: NonNegative = 0.0
    """Factor at the end of the decay."""

    def after_warmup(self, run: RunLength, warmup: int) -> StableDecay:
        """The full rate for what remains, then the decay."""
        total = self.max_duration.resolve(run, "max_duration")
        length = self.decay_duration.resolve(run, "decay_duration")
        stable = total - warmup - length
        if stable < 0:
            raise ScheduleError(
                f"warmup_duration ({warmup} steps) and decay_duration ({length} steps) together "
                f"are longer than max_duration ({total} steps); shorten one of them"
            )
        shape = _SHAPES[self.decay_shape]
        return StableDecay(stable, Decay(shape, length, self.min_factor, last=max(1, length)))

    def _warmup(self, run: RunLength) -> int:
        return fitting_warmup(self.warmup_duration, self.max_duration, run)


@lr_scheduler_registry.register
class InverseSqrtScheduleConfig(WarmupScheduleConfigBase):
    """Falls with the square root of time, and needs no end.

    At t steps after the warm-up the factor is sqrt(T / (T + t)).

    With a warm-up of W and a timescale of W it is the schedule of the transformer paper, up to a
    constant.

    Reference: A. Vaswani et al., "Attention Is All You Need", arXiv 1706.03762; X. Zhai et al.,
    "Scaling Vision Transformers", arXiv 2106.04560.

    Raises:
        ScheduleError: There is neither a timescale nor a warm-up to take it from.

    >>> from nshtrainer import RunLength
    >>> curve = InverseSqrtScheduleConfig(timescale="100 steps").curve(RunLength())
    >>> [curve(step) for step in (0, 300)]
    [1.0, 0.5]
    """

    name: Literal["inverse_sqrt"] = "inverse_sqrt"

    timescale: DurationConfig | None = None
    """The time T after which the rate has fallen to 0.71; left out: that of the warm-up."""

    def after_warmup(self, run: RunLength, warmup: int) -> InverseSqrt:
        """The fall, from 1."""
        steps = warmup if self.timescale is None else self.timescale.resolve(run, "timescale")
        if steps == 0:
            raise ScheduleError(
                "timescale is 0 steps; give it, or a warmup_duration to take it from"
            )
        return InverseSqrt(steps)
