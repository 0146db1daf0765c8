"""Curves of curves."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import chain, pairwise
from math import prod

from nshtrainer.lr_scheduler.curves.phases import (
    Curve,
    Phase,
    clipped,
    first_value,
    overlaid,
    parts_of,
    shifted,
    tiled,
)
from nshtrainer.lr_scheduler.curves.shapes import FALLS, RISES, Shape

__all__ = ["Override", "Product", "Sequence", "Warmup"]


@dataclass(frozen=True)
class Warmup:
    """A rise from `start` to the first value of a curve, which follows from its own step 0."""

    curve: Curve
    steps: int
    start: float
    shape: str = "linear"

    _peak: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_peak", first_value(self.curve))

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        if step >= self.steps:
            return self.curve(step - self.steps)
        return self.start + (self._peak - self.start) * RISES[self.shape](step / self.steps)

    def phases(self) -> tuple[Phase, ...]:
        """The rise, and the phases of the curve, later."""
        return (*tiled(("warm-up", self.steps)), *shifted(parts_of(self.curve), self.steps))


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

    def phases(self) -> tuple[Phase, ...]:
        """Those of each curve, as far as it comes."""
        parts = [parts_of(curve) for curve in self.curves]
        lengths = [end - start for start, end in pairwise(self.starts)]
        parts[:-1] = [clipped(part, length) for part, length in zip(parts, lengths, strict=False)]
        return tuple(chain.from_iterable(map(shifted, parts, self.starts)))


@dataclass(frozen=True)
class Product:
    """The product of curves."""

    curves: tuple[Curve, ...]

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        return prod(curve(step) for curve in self.curves)

    def phases(self) -> tuple[Phase, ...]:
        """Those of all curves, laid over one another."""
        return overlaid(parts_of(curve) for curve in self.curves)


@dataclass(frozen=True)
class Override:
    """A curve up to a step; from its value there a way down to `end`, which then stays."""

    curve: Curve
    start: int
    length: int
    end: float
    shape: Shape = FALLS["linear"]

    _from: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        begin = self.curve(self.start) if self.start > 0 else self.begins_at
        object.__setattr__(self, "_from", begin)

    @property
    def begins_at(self) -> float:
        """The value at which the curve begins, if only for no steps."""
        return first_value(self.curve)

    def __call__(self, step: int) -> float:
        """The factor at an update, counted from 0."""
        if step < self.start:
            return self.curve(step)
        if step >= self.start + self.length:
            return self.end
        return self.end + (self._from - self.end) * self.shape((step - self.start) / self.length)

    def phases(self) -> tuple[Phase, ...]:
        """Those of the curve up to the step, and the way down."""
        before = clipped(parts_of(self.curve), self.start)
        return (*before, *shifted(tiled(("cool-down", self.length)), self.start))
