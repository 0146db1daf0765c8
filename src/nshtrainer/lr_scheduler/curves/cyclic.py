"""Curves that go up and down: restarts, periods, triangles, one cycle, Chebyshev steps."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, pi, sin
from typing import ClassVar, Literal

from nshtrainer.lr_scheduler.curves.basic import Exponential
from nshtrainer.lr_scheduler.curves.epochs import Epochs
from nshtrainer.lr_scheduler.curves.phases import Curve, Phase, tiled
from nshtrainer.lr_scheduler.curves.shapes import FALLS, Shape, label_of

__all__ = ["Chebyshev", "OneCycle", "Periods", "TriangleWave", "WarmRestarts", "triangle_scale"]

_FEW = 12
"""The most cycles that are listed as phases one by one."""


@dataclass(frozen=True)
class WarmRestarts:
    """Repeated decays, each cycle `growth` times as long and `peak` times as high.

    From the second cycle on, the first `rise` steps of each go up. After the last of `cycles` the
    curve keeps `end`. The cycle is found by counting whole numbers: a logarithm would round some
    boundaries to the wrong step.
    """

    shape: Shape
    first: int
    growth: int = 1
    peak: float = 1.0
    end: float = 0.0
    rise: int = 0
    cycles: int | None = None
    marks: Epochs | None = None
    """Starts of cycles of the first length, if they are not multiples of `first`."""
    rises: tuple[int, ...] = ()
    """The rises of the first cycles, if they differ from `rise`."""

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        if self.marks is not None:
            cycle, position, length = self._marked(step, self.marks)
        elif self.growth == 1:
            length = self.first
            cycle, position = step // length, step % length
        else:
            cycle, position, length = self._cycle(step, self.first)
        if self.cycles is not None and cycle >= self.cycles:
            return self.end
        end = self.end
        height = max(end, self.peak**cycle if self.peak != 1.0 else 1.0) - end
        rise = self.rises[cycle] if cycle < len(self.rises) else self.rise
        if rise and cycle:
            if position < rise:
                return end + height * (position + 1) / (rise + 1)
            position, length = position - rise, length - rise
        return end + height * self.shape(position / length)

    def _cycle(self, step: int, first: int) -> tuple[int, int, int]:
        """Return the number of the cycle of a step, the position in the cycle and its length."""
        if self.growth == 1:
            return step // first, step % first, first
        cycle, begin, length = 0, 0, first
        while step >= begin + length:
            cycle, begin, length = cycle + 1, begin + length, length * self.growth
        return cycle, step - begin, length

    def _marked(self, step: int, marks: Epochs) -> tuple[int, int, int]:
        """Return the same for cycles that are counted in marks."""
        count = marks.of(step)
        cycle, position, length = self._cycle(count, 1)
        begin, end = marks.start(count - position), marks.start(count - position + length)
        return cycle, step - begin, end - begin

    def begin(self, cycle: int) -> int:
        """Return the first step of a cycle."""
        growth = self.growth
        count = cycle if growth == 1 else (growth**cycle - 1) // (growth - 1)
        return count * self.first if self.marks is None else self.marks.start(count)

    def phases(self) -> tuple[Phase, ...]:
        """Return one phase for each cycle if there are few, else one for all of them."""
        count = self.cycles
        if count is not None and count <= _FEW:
            begins = [self.begin(cycle) for cycle in range(count + 1)]
            lengths = (end - begin for begin, end in pairwise(begins))
            return tiled(*((f"cycle {i}", length) for i, length in enumerate(lengths, start=1)))
        ends = count is not None and self.growth == 1
        length = self.begin(count) if ends and count else None
        return tiled((f"{label_of(self.shape)} cycles", length))


@dataclass(frozen=True)
class Periods:
    """Periods up to the steps `ends`: 1, with a decay to `end` in the last `decays` steps."""

    ends: tuple[int, ...]
    decays: tuple[int, ...]
    shape: Shape
    end: float = 0.0

    begins_at: ClassVar[float] = 1.0

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        place = bisect_right(self.ends, step)
        if place == len(self.ends):
            return self.end
        decay = self.decays[place]
        position = step - (self.ends[place] - decay)
        if position < 0:
            return 1.0
        return self.end + (1.0 - self.end) * self.shape(position / decay)

    def phases(self) -> tuple[Phase, ...]:
        """Return the stable part and the decay of each period."""
        parts: list[tuple[str, int | None]] = []
        for (start, end), decay in zip(pairwise((0, *self.ends)), self.decays, strict=True):
            parts += [("stable", end - start - decay), (label_of(self.shape), decay)]
        return tiled(*parts)


@dataclass(frozen=True)
class TriangleWave:
    """Triangles: from `low` to `peak` in `up` steps and back in `down`, repeated.

    The height above `low` is multiplied by `scale`, a curve of the number of the cycle, from 0, or
    of the step; a scale above 1 counts as 1.
    """

    low: float
    peak: float
    up: int
    down: int
    scale: Curve | None = None
    per: Literal["cycle", "iterations"] = "cycle"
    marks: tuple[Epochs, Epochs] | None = None
    """The starts of the cycles, and the peaks, if they are not periodic in whole steps."""

    def __call__(self, step: int) -> float:
        """Return the value at an update, counted from 0."""
        cycle, position, up, down = self._cycle(step)
        height = position / up if position < up else (up + down - position) / down
        above = (self.peak - self.low) * height
        if self.scale is not None:
            above *= min(1.0, self.scale(cycle if self.per == "cycle" else step))
        return self.low + above

    def _cycle(self, step: int) -> tuple[int, int, int, int]:
        if self.marks is None:
            cycle, position = divmod(step, self.up + self.down)
            return cycle, position, self.up, self.down
        begins, peaks = self.marks
        cycle = begins.of(step)
        begin, peak, end = begins.start(cycle), peaks.start(cycle + 1), begins.start(cycle + 1)
        return cycle, step - begin, peak - begin, end - peak

    def phases(self) -> tuple[Phase, ...]:
        """Return one endless phase: cycles without an end are not listed one by one."""
        return tiled(("triangles", None))


def triangle_scale(mode: str, gamma: float) -> tuple[Curve | None, Literal["cycle", "iterations"]]:
    """Return the scale of triangles and its unit: none, 1/2^cycle, or gamma^step."""
    if mode == "exp_range":
        return Exponential(gamma), "iterations"
    return Exponential(0.5) if mode == "triangular2" else None, "cycle"


@dataclass(frozen=True)
class OneCycle:
    """A rise to a peak and a decay to an end, which the last of `total` updates has.

    The peak is reached at share * total - 1. With three phases the decay goes to the start first,
    as fast as the rise, and from there to the end. A rise of less than one update is absent.
    """

    start: float
    peak: float
    end: float
    total: int
    share: float
    shape: str = "cosine"
    three_phase: bool = False

    # Parts of a length above 0: first step, last step, first value, last value.
    _segments: tuple[tuple[float, float, float, float], ...] = field(
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
        object.__setattr__(self, "_segments", tuple(way for way in ways if way[0] < way[1]))

    def __call__(self, step: int) -> float:
        """Return the value at an update, counted from 0."""
        for begin, stop, first, second in self._segments:
            if step < stop:
                left = FALLS[self.shape]((step - begin) / (stop - begin))
                return first * left + second * (1.0 - left)
        return self.end

    def phases(self) -> tuple[Phase, ...]:
        """Return the rises and the decays."""
        return tiled(
            *(
                ("rise" if first < second else "fall", ceil(stop) - ceil(begin))
                for begin, stop, first, second in self._segments
            )
        )


@dataclass(frozen=True)
class Chebyshev:
    """The inverse Chebyshev nodes of [ratio, 1], 2^depth of them in fractal order, repeated.

    The order is built from the order of half as many nodes: its j-th node is placed at 2j, and the
    opposite node at 2j + 1.
    """

    depth: int
    ratio: float
    every: int = 1

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        count = 2**self.depth
        node = self._node(step // self.every % count)
        height = sin(pi * (node + 0.5) / (2 * count)) ** 2
        return 1.0 / (self.ratio + (1.0 - self.ratio) * height)

    def _node(self, place: int) -> int:
        """Return the number of the node at a place of the order."""
        node = 0
        for level in range(self.depth):
            opposite = place >> (self.depth - 1 - level) & 1
            node = 2 ** (level + 1) - 1 - node if opposite else node
        return node

    def phases(self) -> tuple[Phase, ...]:
        """Return one endless phase."""
        return tiled(("chebyshev", None))
