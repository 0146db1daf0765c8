"""The curves of torch's own schedulers that no other family has."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import Literal

from nshtrainer.lr_scheduler.curves.phases import Curve, Phase, tiled
from nshtrainer.lr_scheduler.curves.shapes import CosineShape, LinearShape, Shape

__all__ = ["Geometric", "OneCycle", "Triangles"]


_LARGEST = 1e30
"""A rise ends here: no rate above it is a number in single precision for long."""


@dataclass(frozen=True)
class Geometric:
    """gamma^floor(t / T): one fall, or rise, every T steps."""

    gamma: float
    every: int = 1

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        try:
            return min(self.gamma ** (step // self.every), _LARGEST)
        except OverflowError:
            return _LARGEST

    def phases(self) -> tuple[Phase, ...]:
        """One, for ever."""
        return tiled(("exponential" if self.every == 1 else "stairs", None))


@dataclass(frozen=True)
class Triangles:
    """From `low` to `peak` in `up` steps and back in `down`, again and again.

    The height above `low` is multiplied by `scale`, a curve of the number of the cycle, from 0, or
    of the step; by 1 where that is above 1.
    """

    low: float
    peak: float
    up: int
    down: int
    scale: Curve
    per: Literal["cycle", "iterations"] = "cycle"

    def __call__(self, step: int) -> float:
        """The value at an update, counted from 0."""
        cycle, position = divmod(step, self.up + self.down)
        height = min(position / self.up, (self.up + self.down - position) / self.down)
        scale = min(1.0, self.scale(cycle if self.per == "cycle" else step))
        return self.low + (self.peak - self.low) * height * scale

    def phases(self) -> tuple[Phase, ...]:
        """One, for ever: cycles without end are not told one by one."""
        return tiled(("triangles", None))


_FALLS: dict[str, Shape] = {"cos": CosineShape(), "linear": LinearShape()}


@dataclass(frozen=True)
class OneCycle:
    """Up to a peak and down to an end, which the last of `total` updates has.

    The peak is reached at share * total - 1. With three phases the way down goes first to the
    start, as fast as it went up, and from there to the end. A way up that would take less than an
    update is absent.
    """

    start: float
    peak: float
    end: float
    total: int
    share: float
    shape: Literal["cos", "linear"] = "cos"
    three_phase: bool = False

    # Ways of a length above 0: first step, last step, first value, last value.
    _ways: tuple[tuple[float, float, float, float], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        top = max(0.0, self.share * self.total - 1)
        last = max(1, self.total - 1)
        ways = [(0.0, top, self.start, self.peak)]
        if self.three_phase:
            foot = max(0.0, 2 * self.share * self.total - 2)
            ways += [(top, foot, self.peak, self.start), (foot, last, self.start, self.end)]
        else:
            ways += [(top, last, self.peak, self.end)]
        object.__setattr__(self, "_ways", tuple(way for way in ways if way[0] < way[1]))

    def __call__(self, step: int) -> float:
        """The value at an update, counted from 0."""
        for begin, stop, first, second in self._ways:
            if step < stop:
                left = _FALLS[self.shape]((step - begin) / (stop - begin))
                return first * left + second * (1.0 - left)
        return self.end

    def phases(self) -> tuple[Phase, ...]:
        """The ways up and down."""
        return tiled(
            *(
                ("rise" if first < second else "fall", ceil(stop) - ceil(begin))
                for begin, stop, first, second in self._ways
            )
        )
