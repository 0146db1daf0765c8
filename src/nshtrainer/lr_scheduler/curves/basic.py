"""Curves of one formula: constants, decays, stairs, points, and a warm-up with a cosine."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise
from math import cos, pi, sqrt
from typing import ClassVar, Literal

from nshtrainer.lr_scheduler.curves.phases import (
    CONSTANT,
    HOLD,
    Curve,
    Phase,
    parts_of,
    shifted,
    tiled,
)
from nshtrainer.lr_scheduler.curves.shapes import RISES, Shape, label_of

__all__ = [
    "Constant",
    "Decay",
    "Exponential",
    "GeometricDecay",
    "Interpolation",
    "InverseSqrt",
    "LinearWarmupCosine",
    "MultiStep",
    "Noam",
    "Piecewise",
    "Power",
    "StableDecay",
]


@dataclass(frozen=True)
class Constant:
    """One value at every step."""

    value: float = 1.0

    def __call__(self, step: int) -> float:  # noqa: ARG002 - every curve is asked with a step
        """Return the factor at an update, counted from 0."""
        return self.value

    def phases(self) -> tuple[Phase, ...]:
        """Return one endless phase."""
        return tiled((CONSTANT, None))


@dataclass(frozen=True)
class Decay:
    """A decay to `end` in `length` steps; then the end value, the same decay, or its mirror image.

    With `last` = `length` the end value is reached at step `length`; with one less, an update
    earlier.
    """

    shape: Shape
    length: int
    end: float = 0.0
    after: Literal["hold", "repeat", "mirror"] = "hold"
    last: int = 1

    @property
    def begins_at(self) -> float:
        """The value at the start of the decay, even if the decay has no steps."""
        return self.end + (1.0 - self.end) * self.shape(0.0)

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        if step >= self.length:
            step = self._folded(step)
        return self.end + (1.0 - self.end) * self.shape(step / self.last)

    def _folded(self, step: int) -> int:
        """Return the step within the first decay that has the value of a later step."""
        if self.after == "hold" or self.length <= 0:
            return self.last
        if self.after == "repeat":
            return step % self.length
        step %= 2 * self.length
        return min(step, 2 * self.length - step, self.last)

    def phases(self) -> tuple[Phase, ...]:
        """Return the decay; one that repeats has no end."""
        goes_on = self.after != "hold" and self.length > 0
        return tiled((label_of(self.shape), None if goes_on else self.length))


@dataclass(frozen=True)
class StableDecay:
    """1 for `stable` steps, then a decay."""

    stable: int
    decay: Curve

    begins_at: ClassVar[float] = 1.0

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        return 1.0 if step < self.stable else self.decay(step - self.stable)

    def phases(self) -> tuple[Phase, ...]:
        """Return the stable part and the decay."""
        return (*tiled(("stable", self.stable)), *shifted(parts_of(self.decay), self.stable))


@dataclass(frozen=True)
class GeometricDecay:
    """end^(t / length), an exponential from 1 to `end`; then `end`."""

    length: int
    end: float

    begins_at: ClassVar[float] = 1.0

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        return self.end if step >= self.length else self.end ** (step / self.length)

    def phases(self) -> tuple[Phase, ...]:
        """Return the decay."""
        return tiled(("exponential", self.length))


@dataclass(frozen=True)
class InverseSqrt:
    """sqrt(T / (T + t)): 1 at first, a half at t = 3 T; it never ends."""

    timescale: int

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        return sqrt(self.timescale / (self.timescale + step))

    def phases(self) -> tuple[Phase, ...]:
        """Return one endless phase."""
        return tiled(("inverse sqrt", None))


@dataclass(frozen=True)
class Power:
    """(T / n)^b with n = `offset` + t, and 1 as long as n < T; it never ends."""

    timescale: int
    exponent: float
    offset: int = 0

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        return (self.timescale / max(self.timescale, self.offset + step)) ** self.exponent

    def phases(self) -> tuple[Phase, ...]:
        """Return the stable part and the decay."""
        return tiled(("stable", self.timescale - self.offset), ("power", None))


@dataclass(frozen=True)
class Noam:
    """`peak` times min(n / W, sqrt(W / n)) with n = t + 1: a rise in W updates, and a fall."""

    warmup: int
    peak: float = 1.0

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        x = (step + 1) / self.warmup
        return self.peak * min(x, x**-0.5)

    def phases(self) -> tuple[Phase, ...]:
        """Return the rise and the decay; the peak belongs to the decay."""
        return tiled(("warm-up", self.warmup - 1), ("inverse sqrt", None))


_LARGEST = 1e30
"""Upper limit of a rise: larger rates soon overflow single precision."""


@dataclass(frozen=True)
class Exponential:
    """gamma^(t / T), from `end` to 1e30; with `staircase` the exponent is rounded down."""

    gamma: float
    every: float = 1
    staircase: bool = False
    end: float = 0.0

    def __call__(self, step: float) -> float:
        """Return the factor at an update, counted from 0."""
        exponent = step // self.every if self.staircase else step / self.every
        try:
            factor = self.gamma**exponent
        except OverflowError:
            factor = _LARGEST
        if self.end <= factor <= _LARGEST:
            return factor
        return max(self.end, min(factor, _LARGEST))

    def phases(self) -> tuple[Phase, ...]:
        """Return one endless phase."""
        return tiled(("stairs" if self.staircase else "exponential", None))


@dataclass(frozen=True)
class MultiStep:
    """gamma to the power of the number of milestones that are reached."""

    milestones: tuple[int, ...]
    gamma: float

    begins_at: ClassVar[float] = 1.0

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        return self.gamma ** bisect_right(self.milestones, step)

    def phases(self) -> tuple[Phase, ...]:
        """Return one phase from each milestone to the next."""
        edges = (0, *self.milestones)
        lengths = [*(end - start for start, end in pairwise(edges)), None]
        labels = (f"{self.gamma**reached:g}" for reached in range(len(edges)))
        return tiled(*zip(labels, lengths, strict=True))


Interpolation = Literal["linear", "cosine", "constant"]

_BETWEEN: dict[Interpolation, Shape] = {
    "linear": float,
    "cosine": RISES["cosine"],
    "constant": lambda x: float(x >= 1.0),
}


@dataclass(frozen=True)
class Piecewise:
    """Interpolation between points, constant before the first and after the last."""

    steps: tuple[int, ...]
    factors: tuple[float, ...]
    between: Interpolation = "linear"
    labels: tuple[str, ...] = ()

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        place = bisect_right(self.steps, step)
        if place in {0, len(self.steps)}:
            return self.factors[max(0, place - 1)]
        begin, end = self.steps[place - 1 : place + 1]
        first, second = self.factors[place - 1 : place + 1]
        return first + (second - first) * _BETWEEN[self.between]((step - begin) / (end - begin))

    def phases(self) -> tuple[Phase, ...]:
        """Return one phase from each point to the next."""
        lengths = [end - start for start, end in pairwise(self.steps)]
        labels = self.labels or [self.between] * len(lengths)
        return tiled((HOLD, self.steps[0]), *zip(labels, lengths, strict=True))


@dataclass(frozen=True)
class LinearWarmupCosine:
    """A linear rise to 1, then a cosine down to `end`, which may restart.

    With W `warmup` steps, M `total` steps, start factor s and end factor m:

    - t < W: s + (1 - s) t / W
    - W <= t < M: m + (1 - m) (1 + cos(pi (t - W) / (M - W))) / 2
    - t >= M: m; with `restarts`, the cosine restarts every M - W steps instead

    >>> curve = LinearWarmupCosine(warmup=2, total=6)
    >>> [round(curve(t), 3) for t in range(8)]
    [0.0, 0.5, 1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    warmup: int
    total: int
    start: float = 0.0
    end: float = 0.0
    restarts: bool = False

    # Computed once: the curve is called at every update.
    _length: int = field(init=False, repr=False, compare=False)
    _height: float = field(init=False, repr=False, compare=False)
    _frequency: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        length = self.total - self.warmup
        object.__setattr__(self, "_length", length)
        object.__setattr__(self, "_height", (1.0 - self.end) / 2.0)
        object.__setattr__(self, "_frequency", pi / length if length else 0.0)

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        position = step - self.warmup
        if position < 0:
            return self.start + (1.0 - self.start) * step / self.warmup
        if position >= self._length:
            if not (self.restarts and self._length):
                return self.end
            position %= self._length
        return self.end + self._height * (1.0 + cos(self._frequency * position))

    def phases(self) -> tuple[Phase, ...]:
        """Return the warm-up and the cosine."""
        length = None if self.restarts and self._length else self._length
        return tiled(("warm-up", self.warmup), ("cosine", length))
