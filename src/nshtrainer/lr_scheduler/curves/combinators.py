"""Curves of curves: a warm-up before one, several in a row, products, overrides, noise."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain, pairwise
from math import prod
from typing import TYPE_CHECKING, Literal

from nshtrainer.lr_scheduler.curves.phases import (
    HOLD,
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

if TYPE_CHECKING:
    from statistics import NormalDist

__all__ = ["Noisy", "Override", "Product", "Sequence", "Warmup", "uniform"]


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
        """Return the factor at an update, counted from 0."""
        if step >= self.steps:
            return self.curve(step - self.steps)
        return self.start + (self._peak - self.start) * RISES[self.shape](step / self.steps)

    def phases(self) -> tuple[Phase, ...]:
        """Return the rise, followed by the phases of the curve."""
        return (*tiled(("warm-up", self.steps)), *shifted(parts_of(self.curve), self.steps))


@dataclass(frozen=True)
class Sequence:
    """Curves one after the other; each begins at its start, from its own step 0.

    With `continuous` each is scaled to begin at the value of the curve before at that step.
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
        """Return the factor at an update, counted from 0."""
        place = bisect_right(self.starts, step) - 1
        return self._scales[place] * self.curves[place](step - self.starts[place])

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of each curve, up to the start of the next."""
        parts = [parts_of(curve) for curve in self.curves]
        lengths = [end - start for start, end in pairwise(self.starts)]
        parts[:-1] = [clipped(part, length) for part, length in zip(parts, lengths, strict=False)]
        return tuple(chain.from_iterable(map(shifted, parts, self.starts)))


@dataclass(frozen=True)
class Product:
    """The product of curves."""

    curves: tuple[Curve, ...]

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        return prod(curve(step) for curve in self.curves)

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of all curves, overlaid."""
        return overlaid(parts_of(curve) for curve in self.curves)


@dataclass(frozen=True)
class Override:
    """A curve up to a step, then a decay from its value there to `end`."""

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
        """The value at the start of the curve, even if its first part has no steps."""
        return first_value(self.curve)

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        if step < self.start:
            return self.curve(step)
        if step >= self.start + self.length:
            return self.end
        return self.end + (self._from - self.end) * self.shape((step - self.start) / self.length)

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of the curve up to the step, and the decay."""
        before = clipped(parts_of(self.curve), self.start)
        return (*before, *shifted(tiled(("cool-down", self.length)), self.start))


def uniform(seed: int, step: int) -> float:
    """Return a number in (0, 1) that depends on the seed and the step alone.

    >>> uniform(seed=42, step=0) == uniform(seed=42, step=0) != uniform(seed=42, step=1)
    True
    """
    digest = blake2b(f"{seed}/{step}".encode(), digest_size=8).digest()
    # 52 bits: with half a unit more the number is exact, and above 0 and below 1.
    return ((int.from_bytes(digest, "big") >> 12) + 0.5) / 2**52


@dataclass(frozen=True)
class Noisy:
    """A curve times 1 + z in the steps `[start, end)`, with a new random z at each, |z| <= `limit`.

    For `normal`, z has the standard deviation `scale` before it is truncated at the limit.
    """

    curve: Curve
    seed: int
    limit: float
    scale: float = 1.0
    kind: Literal["normal", "uniform"] = "normal"
    start: int = 0
    end: int | None = None

    _normal: NormalDist = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Imported on use: no other curve needs it.
        from statistics import NormalDist

        object.__setattr__(self, "_normal", NormalDist(0.0, self.scale))

    def __call__(self, step: int) -> float:
        """Return the factor at an update, counted from 0."""
        value = self.curve(step)
        if step < self.start or (self.end is not None and step >= self.end):
            return value
        return value * (1.0 + self._drawn(uniform(self.seed, step)))

    def _drawn(self, u: float) -> float:
        """Return the noise at the quantile u of its distribution."""
        if self.kind == "uniform":
            return self.limit * (2.0 * u - 1.0)
        low, high = self._normal.cdf(-self.limit), self._normal.cdf(self.limit)
        return max(-self.limit, min(self.limit, self._normal.inv_cdf(low + (high - low) * u)))

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of the curve, overlaid with the noise."""
        length = None if self.end is None else self.end - self.start
        return overlaid([parts_of(self.curve), tiled((HOLD, self.start), ("noise", length))])
