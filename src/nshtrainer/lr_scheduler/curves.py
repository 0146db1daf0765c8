"""The maths of schedules: the index of an update -> the factor on the base value.

A curve is a frozen dataclass that is called with a step: pure, in closed form, defined for every
step >= 0. `t` is the index, from 0, of the optimizer update that uses the value. Phases are
half-open `[start, end)`: at its first update a phase has its start value, and from the end of the
last phase on the value is the end value, exactly. A phase of length 0 is absent.

Two curves are the same when they compare equal; `repr` is the name under which a checkpoint
remembers one. This module imports nothing but the standard library.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from math import cos, expm1, pi, prod, sqrt
from typing import Literal

__all__ = [
    "Constant",
    "CosineShape",
    "Decay",
    "Exponential",
    "InverseSqrt",
    "LinearShape",
    "LinearWarmupCosine",
    "MultiStep",
    "Override",
    "Piecewise",
    "PowerShape",
    "Product",
    "ReflectedExponentialShape",
    "RootShape",
    "Sequence",
    "SquareShape",
    "StableDecay",
    "WarmRestarts",
    "Warmup",
]

Curve = Callable[[int], float]
Shape = Callable[[float], float]


@dataclass(frozen=True)
class LinearWarmupCosine:
    """A linear rise to 1, then a cosine down to `end`, which may restart.

    With W `warmup` steps, M `total` steps, start factor s and end factor m:

    - t < W: s + (1 - s) t / W
    - W <= t < M: m + (1 - m) (1 + cos(pi (t - W) / (M - W))) / 2
    - t >= M: m; with `restarts`, the cosine begins anew every M - W steps instead

    >>> curve = LinearWarmupCosine(warmup=2, total=6)
    >>> [round(curve(t), 3) for t in range(8)]
    [0.0, 0.5, 1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    warmup: int
    total: int
    start: float = 0.0
    end: float = 0.0
    restarts: bool = False

    # Computed once: a schedule is asked at every update.
    _length: int = field(init=False, repr=False, compare=False)
    _height: float = field(init=False, repr=False, compare=False)
    _frequency: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        length = self.total - self.warmup
        object.__setattr__(self, "_length", length)
        object.__setattr__(self, "_height", (1.0 - self.end) / 2.0)
        object.__setattr__(self, "_frequency", pi / length if length else 0.0)

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        position = step - self.warmup
        if position < 0:
            return self.start + (1.0 - self.start) * step / self.warmup
        if position >= self._length:
            if not (self.restarts and self._length):
                return self.end
            position %= self._length
        return self.end + self._height * (1.0 + cos(self._frequency * position))


# -- the ways down: from 1 at x = 0 to 0 at x = 1 --------------------------------------------------


@dataclass(frozen=True)
class LinearShape:
    """1 - x."""

    def __call__(self, x: float) -> float:
        """The height at x."""
        return 1.0 - x


@dataclass(frozen=True)
class CosineShape:
    """(1 + cos(2 pi c x^k)) / 2: half a wave for c = 1/2; with a larger k it is high for longer."""

    num_cycles: float = 0.5
    k_decay: float = 1.0

    def __call__(self, x: float) -> float:
        """The height at x."""
        return (1.0 + cos(2.0 * pi * self.num_cycles * x**self.k_decay)) / 2.0


@dataclass(frozen=True)
class PowerShape:
    """(1 - x)^p."""

    power: float = 1.0

    def __call__(self, x: float) -> float:
        """The height at x."""
        return (1.0 - x) ** self.power


@dataclass(frozen=True)
class ReflectedExponentialShape:
    """(1 - x) / (1 - x / 2): between linear and delayed linear."""

    def __call__(self, x: float) -> float:
        """The height at x."""
        return (1.0 - x) / (1.0 - x / 2.0)


@dataclass(frozen=True)
class RootShape:
    """1 - sqrt(x): steep at first."""

    def __call__(self, x: float) -> float:
        """The height at x."""
        return 1.0 - sqrt(x)


@dataclass(frozen=True)
class SquareShape:
    """1 - x^2: steep at last."""

    def __call__(self, x: float) -> float:
        """The height at x."""
        return 1.0 - x * x


# -- the ways up: from 0 at x = 0 to 1 at x = 1 ----------------------------------------------------

_STEEPNESS = 5.0


def _exponential_rise(x: float) -> float:
    return expm1(_STEEPNESS * x) / expm1(_STEEPNESS)


RISES: dict[str, Shape] = {
    "linear": float,
    "cosine": lambda x: (1.0 - cos(pi * x)) / 2.0,
    "exponential": _exponential_rise,
    "1-sqrt": lambda x: 1.0 - sqrt(1.0 - x),
}
"""The shapes of a warm-up, by name."""


# -- curves ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Constant:
    """One value for ever."""

    value: float = 1.0

    def __call__(self, step: int) -> float:  # noqa: ARG002 - every curve is asked with a step
        """The factor at an update, counted from 0."""
        return self.value


@dataclass(frozen=True)
class Warmup:
    """A rise from `start` to the first value of a curve, which follows from its own step 0."""

    curve: Curve
    steps: int
    start: float
    shape: str = "linear"

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        if step >= self.steps:
            return self.curve(step - self.steps)
        return self.start + (self.curve(0) - self.start) * RISES[self.shape](step / self.steps)


@dataclass(frozen=True)
class Decay:
    """One way down to `end` in `length` steps, and what comes after.

    With `last` = `length` the value at step `length` is the end; with one less, that of the update
    before.
    """

    shape: Shape
    length: int
    end: float = 0.0
    after: Literal["hold", "repeat", "mirror"] = "hold"
    last: int = 1

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        if step >= self.length:
            step = self._folded(step)
        return self.end + (1.0 - self.end) * self.shape(min(step / self.last, 1.0))

    def _folded(self, step: int) -> int:
        """The step within the one way that stands for a step after it."""
        if self.after == "hold" or self.length <= 0:
            return self.last
        if self.after == "repeat":
            return step % self.length
        step %= 2 * self.length
        return min(step, 2 * self.length - step)


@dataclass(frozen=True)
class StableDecay:
    """1 for `stable` steps, then a decay."""

    stable: int
    decay: Decay

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        return 1.0 if step < self.stable else self.decay(step - self.stable)


@dataclass(frozen=True)
class InverseSqrt:
    """sqrt(T / (T + t)): 1 at first, a half at t = 3 T; it never ends."""

    timescale: int

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        return sqrt(self.timescale / (self.timescale + step))


@dataclass(frozen=True)
class Exponential:
    """gamma^(t / T), not less than `end`; with `staircase` the exponent is rounded down."""

    gamma: float
    every: int
    staircase: bool = False
    end: float = 0.0

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        exponent = step // self.every if self.staircase else step / self.every
        return max(self.end, self.gamma**exponent)


@dataclass(frozen=True)
class MultiStep:
    """gamma to the power of how many of the milestones are reached."""

    milestones: tuple[int, ...]
    gamma: float

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        return self.gamma ** bisect_right(self.milestones, step)


Interpolation = Literal["linear", "cosine", "constant"]

_BETWEEN: dict[Interpolation, Shape] = {
    "linear": float,
    "cosine": RISES["cosine"],
    "constant": lambda x: float(x >= 1.0),
}


@dataclass(frozen=True)
class Piecewise:
    """From point to point; before the first and after the last it stays."""

    steps: tuple[int, ...]
    factors: tuple[float, ...]
    between: Interpolation = "linear"

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        place = bisect_right(self.steps, step)
        if place in {0, len(self.steps)}:
            return self.factors[max(0, place - 1)]
        begin, end = self.steps[place - 1 : place + 1]
        first, second = self.factors[place - 1 : place + 1]
        return first + (second - first) * _BETWEEN[self.between]((step - begin) / (end - begin))


@dataclass(frozen=True)
class WarmRestarts:
    """A decay that begins anew, each cycle `growth` times as long and `peak` times as high.

    The cycle is found by counting whole numbers: a logarithm gets the boundaries wrong.
    """

    shape: Shape
    first: int
    growth: int = 1
    peak: float = 1.0
    end: float = 0.0

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        cycle, begin, length = self._cycle(step)
        height = max(self.end, self.peak**cycle)
        return self.end + (height - self.end) * self.shape((step - begin) / length)

    def _cycle(self, step: int) -> tuple[int, int, int]:
        """The cycle that a step is in: its number, its first step and its length."""
        if self.growth == 1:
            cycle = step // self.first
            return cycle, cycle * self.first, self.first
        cycle, begin, length = 0, 0, self.first
        while step >= begin + length:
            cycle, begin, length = cycle + 1, begin + length, length * self.growth
        return cycle, begin, length


# -- curves of curves ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sequence:
    """One curve after the other; each begins at its start, from its own step 0.

    With `continuous` each is scaled to begin at the value that the one before has there.
    """

    curves: tuple[Curve, ...]
    starts: tuple[int, ...]
    continuous: bool = False

    _scales: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        scales = [1.0]
        for place in range(1, len(self.curves)):
            length = self.starts[place] - self.starts[place - 1]
            first = self.curves[place](0)
            fits = self.continuous and first != 0.0
            before = scales[-1] * self.curves[place - 1](length)
            scales.append(before / first if fits else 1.0)
        object.__setattr__(self, "_scales", tuple(scales))

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        place = bisect_right(self.starts, step) - 1
        return self._scales[place] * self.curves[place](step - self.starts[place])


@dataclass(frozen=True)
class Product:
    """The product of curves."""

    curves: tuple[Curve, ...]

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        return prod(curve(step) for curve in self.curves)


@dataclass(frozen=True)
class Override:
    """A curve up to a step; from its value there a straight line to `end`, which then stays."""

    curve: Curve
    start: int
    length: int
    end: float

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        if step < self.start:
            return self.curve(step)
        if step >= self.start + self.length:
            return self.end
        x = (step - self.start) / self.length
        return self.end + (self.curve(self.start) - self.end) * (1.0 - x)
